// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/applied_adapters.h"

#include <cmath>

#include "sara/base/error.h"
#include "sara/sparse/gather_scatter.h"
#include "sara/weights/adapter_base.h"
#include "sara/weights/rounding.h"

namespace sara {
namespace {

void require_finite(double scale) {
  if (!std::isfinite(scale))
    throw InvalidArgument(message("scale: not a finite number (got ", scale, "). Fix: give a number such as 0.8"));
}

torch::Tensor positions_in(const torch::Tensor& sorted, const torch::Tensor& some) { return at::searchsorted(sorted, some.to(torch::kLong)); }

}  // namespace

AppliedAdapters::AppliedAdapters(const NamedTensors& model, std::string family) : family_(std::move(family)) {
  for (const auto& [name, tensor] : model) model_[name] = tensor;
}

void AppliedAdapters::check(const Adapter& adapter, bool force) const {
  std::vector<std::string> wrong;
  for (const auto& [key, tensor] : adapter.tensors) {
    const auto found = model_.find(key);
    if (found == model_.end())
      wrong.push_back(message(escaped(key), " is not in the model"));
    else if (tensor.indices.numel() && tensor.indices[-1].item<int64_t>() >= found->second.numel())
      wrong.push_back(message(escaped(key), " is too small (expected more than ", tensor.indices[-1].item<int64_t>(), " elements, got ",
                              found->second.numel(), ")"));
  }
  const auto family = adapter.metadata.find("family");
  if (!wrong.empty()) {
    const std::string made_for = family == adapter.metadata.end() ? "unknown" : escaped(family->second);
    throw BadFile(adapter.source, message("does not fit this model (model family ", family_, ", adapter family ", made_for, "; ", wrong.size(), " of ",
                                          adapter.tensors.size(), " tensors): ", first_five(wrong, "; "), ". Fix: use the model it was trained on"));
  }
  if (force) return;

  // The UNet below AnimateDiff's motion modules is one of Stable Diffusion 1.x: whether it is the same one, the hashes tell.
  const bool below = family_ == "animatediff" && family != adapter.metadata.end() && family->second == "sd1";
  if (family != adapter.metadata.end() && family->second != family_ && !below)
    throw BadFile(adapter.source, message("made for another model family (expected ", family_, ", got ", escaped(family->second), "). Fix: use its own base, or force it"));
  const auto hashes = base_hashes_of(adapter);
  for (const auto& [key, tensor] : adapter.tensors) {
    const auto theirs = hashes.find(key);
    const std::string ours = base_hash(key, model_.at(key).scalar_type());
    const bool same = theirs != hashes.end() && (theirs->second == ours || theirs->second == base_hash(key, training_dtype(adapter)));
    if (!same)
      throw BadFile(adapter.source, message("made for another base: ", escaped(key), " differs (expected hash ",
                                            theirs == hashes.end() ? "missing" : escaped(theirs->second), ", got ", ours, "). Fix: use its own base, or force it"));
  }
}

// A weight that one adapter holds, and no other touches, is at scale 1 that weight itself: not base + (value - base), which misses
// a value very much smaller than its base, and the sign of a zero.
void AppliedAdapters::restore_values_(const torch::Tensor& result, const std::string& key, const torch::Tensor& indices,
                                      const std::vector<Scaled>& adapters) {
  torch::Tensor touched = torch::zeros({indices.numel()}, torch::kInt);
  std::vector<const AdapterTensor*> whole;
  for (const auto& [adapter, scale] : adapters) {
    const auto found = adapter.tensors.find(key);
    if (found == adapter.tensors.end() || scale == 0) continue;
    touched.index_add_(0, positions_in(indices, found->second.indices), torch::ones({found->second.indices.numel()}, torch::kInt));
    if (found->second.is_value && scale == 1) whole.push_back(&found->second);
  }
  for (const AdapterTensor* tensor : whole) {
    const torch::Tensor where = positions_in(indices, tensor->indices), alone = touched.index_select(0, where).eq(1);
    result.index_copy_(0, where.masked_select(alone), tensor->data.to(result.scalar_type()).masked_select(alone));
  }
}

std::string AppliedAdapters::base_hash(const std::string& key, at::ScalarType dtype) const {
  const torch::Tensor& weight = model_.at(key);
  const auto touched = touched_.find(key);
  if (touched != touched_.end() && dtype == weight.scalar_type()) return touched->second.base_hash;
  torch::Tensor base = weight.detach();
  if (touched != touched_.end()) {
    base = base.clone();
    scatter_(base, touched->second.indices.to(base.device()), touched->second.base.to(base.device()));
  }
  return tensor_hash(base.to(dtype));
}

size_t AppliedAdapters::add(Adapter adapter, double scale, bool force) {
  require_finite(scale);
  check(adapter, force);
  TouchedMap touched = touched_;
  for (const auto& [key, tensor] : adapter.tensors) {
    const torch::Tensor& weight = model_.at(key);
    const auto [entry, fresh] = touched.try_emplace(key);
    Touched& kept = entry->second;
    torch::Tensor indices = tensor.indices.to(torch::kLong);
    if (!fresh) indices = std::get<0>(at::_unique(torch::cat({kept.indices, indices})));
    torch::Tensor base = gather(weight, indices.to(weight.device())).cpu();
    if (fresh)
      kept.base_hash = tensor_hash(weight);
    else
      base.index_copy_(0, positions_in(indices, kept.indices), kept.base);
    kept.indices = indices;
    kept.base = base;
  }
  std::vector<Scaled> adapters = adapters_;
  adapters.push_back({std::move(adapter), scale});
  write(std::move(adapters), std::move(touched));
  return adapters_.size() - 1;
}

void AppliedAdapters::set_scale(size_t number, double scale) {
  require_finite(scale);
  std::vector<Scaled> adapters = adapters_;
  adapters.at(number).scale = scale;
  write(std::move(adapters), touched_);
}

void AppliedAdapters::remove() {
  write({}, touched_);
  touched_.clear();
}

void AppliedAdapters::write(std::vector<Scaled> adapters, TouchedMap touched) {
  torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> results;
  for (const auto& [key, kept] : touched) {
    const torch::Tensor base = kept.base.to(torch::kDouble);
    torch::Tensor change = torch::zeros_like(base);
    for (const auto& [adapter, scale] : adapters) {
      const auto found = adapter.tensors.find(key);
      if (found == adapter.tensors.end() || scale == 0) continue;
      const torch::Tensor where = positions_in(kept.indices, found->second.indices);
      torch::Tensor delta = found->second.data.to(torch::kDouble);
      if (found->second.is_value) delta = delta - base.index_select(0, where);
      change.index_add_(0, where, delta, scale);
    }
    const auto dtype = model_.at(key).scalar_type();
    const torch::Tensor result = rounded_once(torch::where(change.eq(0), base, base + change), dtype);
    restore_values_(result, key, kept.indices, adapters);
    if (!result.isfinite().all().item<bool>())
      throw InvalidArgument(message("scale: weights of ", escaped(key), " overflow ", toString(dtype), ". Fix: use smaller scales"));
    results[key] = result;
  }
  for (const auto& [key, result] : results) {
    const torch::Tensor& weight = model_.at(key);
    scatter_(weight, touched.at(key).indices.to(weight.device()), result.to(weight.device()));
  }
  adapters_ = std::move(adapters);
  touched_ = std::move(touched);
}

}  // namespace sara
