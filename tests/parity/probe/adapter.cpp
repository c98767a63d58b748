// SPDX-License-Identifier: Apache-2.0
// Applies adapters. In: model tensors; config: adapters = [[path, scale], ...], family, force.
// Out: the tensors with the adapters applied, and "removed.<name>" after remove().
#include "sara/weights/applied_adapters.h"

#include "probe.h"

SARA_PROBE(adapter) {
  sara::NamedTensors model(in.tensors.begin(), in.tensors.end());
  sara::AppliedAdapters applied(model, in.config.at("family"));
  for (const auto& [path, scale] : in.config.at("adapters").get<std::vector<std::pair<std::string, double>>>())
    applied.add(sara::load_adapter(path), scale, in.config.value("force", false));
  for (const auto& [name, tensor] : model) out[name] = tensor.clone();
  applied.remove();
  for (const auto& [name, tensor] : model) out["removed." + name] = tensor;
}
