// SPDX-License-Identifier: Apache-2.0
// The denoiser stage of `sara pretrain` for machines that have libtorch, a compiler and two header libraries (SARA_TOOLS=OFF): reads
// cached latents, so no image codec, tokenizer or flag parser is needed.
//   sara_pretrain_denoiser LAYOUT OUTPUT [OPTIONS.json]      OPTIONS.json: {"steps": 60000, "batch_size": 256, ...}
#include <cstdio>
#include <set>

#include "sara/base/error.h"
#include "sara/files/json.h"
#include "sara/train/pretrain.h"

namespace {

using sara::Json;

// Fills a field from its key; remembers every name, for the check of unknown keys.
struct JsonFill {
  const Json& values;
  std::vector<std::string> names = {};

  template <class T>
  static void assign(T& field, const Json& value) {
    field = value.get<T>();
  }
  template <class T>
  static void assign(std::optional<T>& field, const Json& value) {
    if (value.is_null()) field.reset();
    else field = value.get<T>();
  }
  template <class T>
  void operator()(const char* name, T& field, const char*, const sara::Legal& = {}) {
    names.push_back(name);
    if (!values.contains(name)) return;
    try {
      assign(field, values.at(name));
    } catch (const Json::exception&) {
      throw sara::InvalidArgument(sara::message(name, ": wrong type (got ", values.at(name).dump(), ")"));
    }
  }
};

sara::PretrainOptions options_from(const Json& values) {
  sara::PretrainOptions options;
  JsonFill fill{values};
  options.visit(fill);
  for (const auto& [key, value] : values.items()) {
    if (std::set<std::string>(fill.names.begin(), fill.names.end()).count(key)) continue;
    const auto near = sara::nearest_name(key, fill.names);
    throw sara::InvalidArgument(sara::message(sara::escaped(key), ": unknown key. Fix: ", near ? "did you mean " + *near + "?" : "see sara/train/pretrain_options.h"));
  }
  sara::check_options(options);
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: sara_pretrain_denoiser LAYOUT OUTPUT [OPTIONS.json]\n");
    return 2;
  }
  try {
    sara::pretrain_denoiser(argv[1], argv[2], options_from(argc == 4 ? sara::read_json(argv[3]) : Json::object()));
    return 0;
  } catch (const sara::Error& error) {
    std::fprintf(stderr, "sara: error: %s\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sara: error: %s\n", error.what());
    return 70;
  }
}
