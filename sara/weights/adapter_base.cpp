// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/adapter_base.h"

#include "sara/base/error.h"
#include "sara/files/json.h"
#include "sara/weights/applied_adapters.h"
#include "sara/weights/precision.h"

namespace sara {

c10::ScalarType training_dtype(const Adapter& adapter) {
  if (const auto said = adapter.metadata.find("precision"); said != adapter.metadata.end()) return dtype_from_precision(said->second);
  const auto config = adapter.metadata.find("config");
  if (config == adapter.metadata.end()) return c10::kFloat;
  const Json json = parse_json(config->second, adapter.source + ": config");
  const auto precision = json.is_object() ? json.value("precision", Json("fp32")) : Json("fp32");
  if (!precision.is_string()) throw BadFile(adapter.source, "the precision in its config is not a text. Fix: save the adapter again");
  return dtype_from_precision(precision.get<std::string>());
}

void require_base(const Adapter& adapter, const NamedTensors& model, const std::string& family) {
  const auto dtype = training_dtype(adapter);
  NamedTensors as_trained;
  for (const auto& [name, tensor] : model) {
    if (adapter.tensors.count(name)) as_trained.emplace_back(name, tensor.detach().to(dtype, /*non_blocking=*/false, /*copy=*/true));
  }
  AppliedAdapters(as_trained, family).add(adapter, 0.0);
}

}  // namespace sara
