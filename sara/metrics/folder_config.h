// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sara/base/error.h"
#include "sara/files/json.h"

namespace sara {

// read(json) of a model folder's JSON file; what it refuses becomes an error of the file. Throws BadFile, IoError.
template <class Read>
auto from_config(const std::string& file, Read read) {
  const Json json = read_json(file);
  if (!json.is_object()) throw BadFile(file, "is not a JSON object");
  try {
    return read(json);
  } catch (const InvalidArgument& error) {
    throw BadFile(file, error.what());
  }
}

// The class that a config.json of transformers names, "none" without one.
inline std::string class_in_config(const Json& json) {
  const Json classes = json.value("architectures", Json());
  return classes.is_array() && !classes.empty() && classes[0].is_string() ? classes[0].get<std::string>() : "none";
}

}  // namespace sara
