// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/delta_sum.h"

#include "sara/sparse/gather_scatter.h"
#include "sara/weights/adapter_base.h"
#include "sara/weights/applied_adapters.h"
#include "sara/weights/model_tensors.h"

namespace sara {

Adapter delta_sum(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, bool force) {
  const NamedTensors tensors = model_tensors(model, keys_of(adapters));
  std::map<std::string, torch::Tensor> base;
  for (const auto& [key, tensor] : tensors) base.emplace(key, tensor);
  std::vector<ScaledAdapter> deltas = adapters;
  for (auto& [adapter, scale] : deltas) {
    if (!force) require_base(adapter, tensors, model.family());
    AppliedAdapters(tensors, model.family()).add(adapter, 0.0, /*force=*/true);  // keys and sizes
    for (auto& [key, tensor] : adapter.tensors) {
      if (!tensor.is_value) continue;
      const torch::Tensor from = gather(base.at(key), tensor.indices).to(training_dtype(adapter)).to(torch::kDouble);
      tensor = {tensor.indices, (tensor.data.to(torch::kDouble) - from).to(torch::kFloat), false};
    }
  }
  return adapter_sum(deltas, force);
}

}  // namespace sara
