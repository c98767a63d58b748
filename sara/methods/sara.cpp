// SPDX-License-Identifier: Apache-2.0
#include "sara/methods/sara.h"

#include "sara/weights/adapter.h"

namespace sara {
namespace {

MethodOptions resolved(MethodOptions options, int64_t total_steps) {
  if (!options.progressive_iter()) options.progressive_iter(total_steps / 2);
  return options;
}

}  // namespace

SaraMethod::SaraMethod(const NamedTensors& trainable, MethodOptions options, int64_t total_steps)
    : optimizer_(trainable, resolved(std::move(options), total_steps)) {}

void SaraMethod::save(const std::string& path, const std::map<std::string, std::string>& metadata) const {
  const Values& values = optimizer_.values();
  const AdamWOptions& options = optimizer_.options();
  values.verify_frozen();
  Adapter adapter = make_adapter(values.learned(), values.base_hashes());
  adapter.metadata["method"] = name();
  adapter.metadata["threshold"] = Json(optimizer_.threshold()).dump();
  adapter.metadata["selected"] = std::to_string(values.selected());
  adapter.metadata["lambda_rank"] = Json(options.lambda_rank()).dump();
  adapter.metadata["progressive_iter"] = std::to_string(options.progressive_iter().value_or(0));
  adapter.metadata["seed"] = std::to_string(options.seed());
  for (const auto& [key, text] : metadata) adapter.metadata.insert_or_assign(key, text);
  save_adapter(path, adapter);
}

Json SaraMethod::summary() const {
  const Values& values = optimizer_.values();
  const auto selected = static_cast<double>(values.selected());
  const int64_t below = values.below(optimizer_.threshold());
  return {{"method", name()},
          {"threshold", optimizer_.threshold()},
          {"selected", values.selected()},
          {"total", optimizer_.total()},
          {"share_selected", selected / static_cast<double>(optimizer_.total())},
          {"tensors", values.slots().size()},
          {"active", values.active()},
          {"still_below", below},
          {"share_still_below", selected > 0 ? static_cast<double>(below) / selected : 0.0}};
}

}  // namespace sara
