// SPDX-License-Identifier: Apache-2.0
// The state of SaraMethod: that of its optimizer (optim/adamw.h) and of its averages, by name.
#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/methods/sara.h"

namespace sara {
namespace {

void put(TensorMap& out, const char* name, const torch::Tensor& tensor) {
  if (tensor.defined()) out[name] = tensor;
}

torch::Tensor optional_tensor(const MethodState& state, const char* name) {
  return state.tensors.contains(name) ? state.tensor(name) : torch::Tensor();
}

void get_lists(const MethodState& from, AdamWState& state) {
  try {
    for (const Json& item : from.facts.at("tensors")) state.values.tensors.emplace_back(item.at(0).get<std::string>(), item.at(1).get<int64_t>());
    for (const Json& item : from.facts.at("base_hashes")) state.base_hashes.emplace(item.at(0).get<std::string>(), item.at(1).get<std::string>());
  } catch (const Json::exception&) {
    throw InvalidArgument("state: the list of tensors is missing or not understood. Fix: use a state that this version saved");
  }
}

}  // namespace

MethodState SaraMethod::state() const {
  optimizer_.values().verify_frozen();
  const AdamWState state = optimizer_.state();
  MethodState out;
  put(out.tensors, "values", state.values.values);
  put(out.tensors, "exp_avg", state.values.exp_avg);
  put(out.tensors, "exp_avg_sq", state.values.exp_avg_sq);
  put(out.tensors, "exp_avg_scale", state.values.exp_avg_scale);
  put(out.tensors, "exp_avg_sq_scale", state.values.exp_avg_sq_scale);
  put(out.tensors, "still_active", state.values.still_active);
  put(out.tensors, "retired", state.values.retired);
  put(out.tensors, "threshold", torch::tensor(state.threshold, torch::kDouble));
  if (ema_) put(out.tensors, "averages", ema_->averages());
  Json tensors = Json::array(), hashes = Json::array();
  for (const auto& [name, count] : state.values.tensors) tensors.push_back(Json::array({name, count}));
  for (const auto& [name, hash] : state.base_hashes) hashes.push_back(Json::array({name, hash}));
  out.facts = {{"method", name()}, {"steps", state.steps}, {"updates", state.updates}, {"mask_hash", state.values.mask_hash}};
  out.facts["tensors"] = std::move(tensors);
  out.facts["base_hashes"] = std::move(hashes);
  if (ema_) out.facts["ema_updates"] = ema_->updates();
  return out;
}

void SaraMethod::load_state_(const MethodState& from) {
  if (from.text("method") != name())
    throw InvalidArgument(message("state: made by method ", escaped(from.text("method")), " (expected ", name(), "). Fix: use the method of the run"));
  if (ema_.has_value() != from.tensors.contains("averages"))
    throw InvalidArgument(message("state: made ", ema_ ? "without" : "with", " averages. Fix: ", ema_ ? "leave out ema_decay" : "give the ema_decay of the run"));
  AdamWState state;
  state.values.values = from.tensor("values");
  state.values.exp_avg = from.tensor("exp_avg");
  state.values.exp_avg_sq = from.tensor("exp_avg_sq");
  state.values.exp_avg_scale = optional_tensor(from, "exp_avg_scale");
  state.values.exp_avg_sq_scale = optional_tensor(from, "exp_avg_sq_scale");
  state.values.still_active = optional_tensor(from, "still_active");
  state.values.retired = optional_tensor(from, "retired");
  get_lists(from, state);
  state.values.mask_hash = from.text("mask_hash");
  state.steps = from.count("steps");
  state.updates = from.count("updates");
  const torch::Tensor& threshold = from.tensor("threshold");
  if (threshold.numel() != 1 || threshold.scalar_type() != torch::kDouble) throw InvalidArgument("state: threshold is no number. Fix: use a state that this version saved");
  state.threshold = threshold.item<double>();
  const int64_t averaged = ema_ ? from.count("ema_updates") : 0;
  if (ema_ && (from.tensor("averages").numel() != optimizer_.values().selected() || from.tensor("averages").scalar_type() != torch::kFloat))
    throw InvalidArgument("state: averages do not fit. Fix: load the state of a run with the same selection");
  optimizer_.load_state_(state);
  if (ema_) ema_->load_state_(from.tensor("averages"), averaged);
}

}  // namespace sara
