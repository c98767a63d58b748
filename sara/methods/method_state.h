// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sara/files/json.h"
#include "sara/weights/tensor_file.h"

namespace sara {

// All that a fresh method needs to go on bit for bit, made with the same options on the same base: what a checkpoint
// holds of it. Numbers that may not be finite are tensors, since JSON has none of those.
struct MethodState {
  TensorMap tensors;  // on any device; may share the method's own memory
  Json facts = Json::object();

  // Throw InvalidArgument when the entry is missing or of another type.
  const torch::Tensor& tensor(const std::string& name) const;
  int64_t count(const char* name) const;
  std::string text(const char* name) const;
};

}  // namespace sara
