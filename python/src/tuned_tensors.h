// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "sara/sparse/ranking.h"

namespace sara::python {

// The weights of a tuned module, by name, as selection `changed` asks for them. Asking throws InvalidArgument for a weight that it
// lacks or that has another shape than the model's.
TunedTensors tuned_tensors(std::map<std::string, torch::Tensor> weights);

}  // namespace sara::python
