// SPDX-License-Identifier: Apache-2.0
#include "python/src/tuned_tensors.h"

#include "sara/base/error.h"

namespace sara::python {

TunedTensors tuned_tensors(std::map<std::string, torch::Tensor> weights) {
  return [weights = std::move(weights)](const std::string& name, const torch::Tensor& weight) {
    const auto found = weights.find(name);
    if (found == weights.end())
      throw InvalidArgument(message("tuned: it has no weight ", escaped(name), ". Fix: give the tuned model itself, of the same kind"));
    if (found->second.sizes() != weight.sizes())
      throw InvalidArgument(message("tuned: ", escaped(name), " has another shape than the model's. Fix: give a tuned model of the same kind"));
    return found->second.detach().to(weight.options());
  };
}

}  // namespace sara::python
