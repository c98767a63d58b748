// SPDX-License-Identifier: Apache-2.0
#include "sara/methods/sara.h"

#include <cmath>

#include "sara/base/log.h"
#include "sara/rank/rank_loss.h"
#include "sara/weights/precision.h"
#include "sara/weights/tuned_weights.h"

namespace sara {
namespace {

MethodOptions resolved(MethodOptions options, int64_t total_steps) {
  check_options(options);
  const bool bounded = options.selection() == "below" || options.threshold();
  if (!options.progressive_iter()) options.progressive_iter(bounded ? total_steps / 2 : 0);
  if (options.tuned) {
    const auto model = std::make_shared<TunedWeights>(*options.tuned);
    options.tuned_weights([model](const std::string& name, const torch::Tensor& weight) { return model->tensor(name).to(weight.scalar_type()); });
  }
  return options;
}

}  // namespace

SaraMethod::SaraMethod(const NamedTensors& trainable, MethodOptions options, int64_t total_steps)
    : adapter_dtype_(dtype_from_precision(options.adapter_dtype)), optimizer_(trainable, resolved(options, total_steps)) {
  if (options.lambda_rank() > 0 && !has_rank_loss(optimizer_.values(), options.rank_layers()))
    log_warning("lambda_rank: no selected weight lies in a matrix of rank_layers; training goes on without the rank loss");
  if (options.ema_decay)
    ema_.emplace(optimizer_.values(), *options.ema_decay);
  else
    optimizer_.drop_values_();
}

StepReport SaraMethod::step(int64_t t, double lr) {
  const StepReport report = optimizer_.step(t, lr);
  if (!ema_) {
    optimizer_.drop_values_();
    return report;
  }
  if (report.reselected) ema_->reselected();
  if (!report.skipped) ema_->update();
  return report;
}

void SaraMethod::use_averages_() {
  if (ema_) ema_->scatter_();
}

Adapter trained_adapter(const AdamW& optimizer, const std::vector<Learned>& learned, bool as_values, at::ScalarType dtype) {
  const Values& values = optimizer.values();
  const AdamWOptions& options = optimizer.options();
  values.require_in_place();
  values.verify_frozen();
  Adapter adapter = make_adapter(learned, values.base_hashes(), as_values, dtype);
  adapter.metadata["method"] = "sara";
  adapter.metadata["selection"] = options.selection();
  if (std::isfinite(optimizer.threshold())) adapter.metadata["threshold"] = Json(optimizer.threshold()).dump();
  adapter.metadata["selected"] = std::to_string(values.selected());
  adapter.metadata["lambda_rank"] = Json(options.lambda_rank()).dump();
  adapter.metadata["progressive_iter"] = std::to_string(options.progressive_iter().value_or(0));
  adapter.metadata["seed"] = std::to_string(options.seed());
  return adapter;
}

void SaraMethod::save(const std::string& path, const std::map<std::string, std::string>& metadata) const {
  Adapter adapter = trained_adapter(optimizer_, result(), /*as_values=*/false, adapter_dtype_);
  if (ema_) adapter.metadata["ema_updates"] = std::to_string(ema_->updates());
  for (const auto& [key, text] : metadata) adapter.metadata.insert_or_assign(key, text);
  save_adapter(path, adapter);
}

Json SaraMethod::summary() const {
  const Values& values = optimizer_.values();
  const auto selected = static_cast<double>(values.selected());
  Json out{{"method", name()},
           {"selection", optimizer_.options().selection()},
           {"selected", values.selected()},
           {"total", optimizer_.total()},
           {"share_selected", selected / static_cast<double>(optimizer_.total())},
           {"tensors", values.slots().size()},
           {"active", values.active()}};
  const auto [nuclear_norm, effective_rank] = mean_spectrum(result(), optimizer_.options().rank_layers());
  out["nuclear_norm"] = nuclear_norm;
  out["effective_rank"] = effective_rank;
  if (ema_) out["ema_updates"] = ema_->updates();
  if (!std::isfinite(optimizer_.threshold())) return out;
  const int64_t below = values.below(optimizer_.threshold());
  out["threshold"] = optimizer_.threshold();
  out["still_below"] = below;
  out["share_still_below"] = selected > 0 ? static_cast<double>(below) / selected : 0.0;
  return out;
}

}  // namespace sara
