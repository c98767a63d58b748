// SPDX-License-Identifier: Apache-2.0
#include "sara/methods/sara.h"

#include "sara/base/log.h"
#include "sara/rank/rank_loss.h"

namespace sara {
namespace {

MethodOptions resolved(MethodOptions options, int64_t total_steps) {
  if (!options.progressive_iter()) options.progressive_iter(total_steps / 2);
  return options;
}

}  // namespace

SaraMethod::SaraMethod(const NamedTensors& trainable, MethodOptions options, int64_t total_steps)
    : optimizer_(trainable, resolved(options, total_steps)) {
  if (options.lambda_rank() > 0 && !has_rank_loss(optimizer_.values(), options.rank_layers()))
    log_warning("lambda_rank: no selected weight lies in a matrix of rank_layers; training goes on without the rank loss");
  if (options.ema_decay()) ema_.emplace(optimizer_.values(), *options.ema_decay());
}

StepReport SaraMethod::step(int64_t t, double lr) {
  const StepReport report = optimizer_.step(t, lr);
  if (!ema_) return report;
  if (report.reselected) ema_->reselected();
  if (!report.skipped) ema_->update();
  return report;
}

void SaraMethod::use_averages_() {
  if (ema_) ema_->scatter_();
}

Adapter trained_adapter(const AdamW& optimizer, const std::vector<Learned>& learned, bool as_values) {
  const Values& values = optimizer.values();
  const AdamWOptions& options = optimizer.options();
  values.verify_frozen();
  Adapter adapter = make_adapter(learned, values.base_hashes(), as_values);
  adapter.metadata["method"] = "sara";
  adapter.metadata["threshold"] = Json(optimizer.threshold()).dump();
  adapter.metadata["selected"] = std::to_string(values.selected());
  adapter.metadata["lambda_rank"] = Json(options.lambda_rank()).dump();
  adapter.metadata["progressive_iter"] = std::to_string(options.progressive_iter().value_or(0));
  adapter.metadata["seed"] = std::to_string(options.seed());
  return adapter;
}

void SaraMethod::save(const std::string& path, const std::map<std::string, std::string>& metadata) const {
  Adapter adapter = trained_adapter(optimizer_, result());
  if (ema_) adapter.metadata["ema_updates"] = std::to_string(ema_->updates());
  for (const auto& [key, text] : metadata) adapter.metadata.insert_or_assign(key, text);
  save_adapter(path, adapter);
}

Json SaraMethod::summary() const {
  const Values& values = optimizer_.values();
  const auto selected = static_cast<double>(values.selected());
  const int64_t below = values.below(optimizer_.threshold());
  const auto [nuclear_norm, effective_rank] = mean_spectrum(result(), optimizer_.options().rank_layers());
  Json out{{"method", name()},
          {"threshold", optimizer_.threshold()},
          {"selected", values.selected()},
          {"total", optimizer_.total()},
          {"share_selected", selected / static_cast<double>(optimizer_.total())},
          {"tensors", values.slots().size()},
          {"active", values.active()},
          {"still_below", below},
          {"share_still_below", selected > 0 ? static_cast<double>(below) / selected : 0.0},
          {"nuclear_norm", nuclear_norm},
          {"effective_rank", effective_rank}};
  if (ema_) out["ema_updates"] = ema_->updates();
  return out;
}

}  // namespace sara
