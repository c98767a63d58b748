// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/values.h"

#include <torch/csrc/autograd/engine.h>

#include <utility>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/sparse/gather_scatter.h"
#include "sara/sparse/magnitude.h"
#include "sara/sparse/zero_pages.h"

namespace sara {

std::string tensor_hash(const torch::Tensor& tensor) {
  const torch::Tensor bytes = tensor.detach().cpu().contiguous();
  Hasher hasher;
  hasher.update(bytes.const_data_ptr(), bytes.nbytes());
  return hasher.hex();
}

Values::Values(const Mask& mask, size_t groups, bool eight_bit_moments) : parameters_(groups) {
  Hasher positions;
  torch::Device device = mask.empty() ? torch::kCPU : mask.front().weight.device();
  for (auto entry = mask.rbegin(); entry != mask.rend(); ++entry) {
    if (entry->weight.device() != device)
      throw InvalidArgument(message("parameters: ", escaped(entry->name), " is on another device than the rest (expected ", device.str(), ", got ",
                                    entry->weight.device().str(), "). Fix: put the whole model on one device"));
    scope_.emplace_back(entry->name, entry->weight);
    base_hashes_[entry->name] = tensor_hash(entry->weight);
    if (entry->indices.numel() == 0) continue;
    const torch::Tensor indices = entry->indices.cpu().contiguous();
    positions.update(indices.const_data_ptr(), indices.nbytes());
    slots_.push_back({entry->name, entry->weight, entry->indices, selected_, selected_ + entry->indices.numel(), entry->group});
    selected_ += entry->indices.numel();
  }
  mask_hash_ = positions.hex();
  retired_.resize(slots_.size());
  values_ = torch::empty({selected_}, torch::TensorOptions(device).dtype(torch::kFloat));
  for (Slot& slot : slots_) {
    const torch::Tensor base = gather(slot.weight, slot.indices);
    span(values_, slot).copy_(base);
    slot.base = base.to(slot.weight.scalar_type());
  }
  gradient_.reset(spans(), device);
  exp_avg_ = torch::zeros_like(values_, eight_bit_moments ? torch::kChar : torch::kFloat);
  exp_avg_sq_ = torch::zeros_like(values_, eight_bit_moments ? torch::kByte : torch::kFloat);
  bind_parameters_();
  if (!eight_bit_moments) return;
  int64_t blocks = 0;
  for (const Slot& slot : slots_) blocks += moment_blocks(slot.end - slot.begin);
  exp_avg_scale_ = torch::zeros({blocks}, values_.options());
  exp_avg_sq_scale_ = torch::zeros_like(exp_avg_scale_);
}

torch::Tensor Values::base() const {
  const torch::Tensor out = torch::empty_like(values_);
  for (const Slot& slot : slots_) span(out, slot).copy_(slot.base);
  return out;
}

const torch::Tensor& Values::values() const {
  if (std::exchange(values_dropped_, false))
    for (const Slot& slot : slots_) span(values_, slot).copy_(gather(slot.weight, slot.indices));
  return values_;
}

torch::Tensor Values::values_of(const Slot& slot) const { return values_dropped_ ? gather(slot.weight, slot.indices) : span(values_, slot); }

const std::vector<torch::Tensor>& Values::parameters() const {
  values();
  if (!gradient_.kept_whole()) {
    gradient_.keep_whole();
    bind_gradients_();
  }
  return parameters_;
}

void Values::drop_values_() {
  for (const Slot& slot : slots_)
    if (!slot.weight.is_cpu() || slot.weight.scalar_type() != torch::kFloat) return;
  zero_and_release_(values_);
  values_dropped_ = true;
}

int64_t Values::below(double threshold) const {
  int64_t count = 0;
  for (const Slot& slot : slots_) count += indices_below(values_of(slot), threshold).numel();
  for (const Retired& retired : retired_)
    if (retired.values.defined()) count += indices_below(retired.values, threshold).numel();
  return count;
}

void Values::after_backward(std::function<void()> then) { *after_backward_ = {std::move(then)}; }

torch::Tensor Values::open_gradient_(size_t slot) {
  require_in_place(slots_[slot]);
  if (after_backward_->then && !std::exchange(after_backward_->queued, true)) {
    torch::autograd::Engine::get_default_engine().queue_callback([after = after_backward_] {
      after->queued = false;
      if (after->then) after->then();
    });
  }
  adopt_gradient_(slots_[slot].group);
  return gradient_.span(slot);
}

void Values::gather_gradient_(size_t slot, const torch::Tensor& dense) { gather_add_(open_gradient_(slot), dense, slots_[slot].indices, slots_[slot].offsets_in(dense)); }

void Values::scatter_() const {
  for (const Slot& slot : slots_) sara::scatter_(slot.weight, slot.indices, values_of(slot));
}

void Values::reselect_(double threshold) {
  adopt_gradients_();
  // Survivors move to the front of the buffers slot by slot, then each buffer is cut where it lies: never a second copy. Values that were
  // dropped stay in the weights.
  std::vector<torch::Tensor*> buffers;
  if (!values_dropped_) buffers.push_back(&values_);
  if (!eight_bit_moments()) buffers.insert(buffers.end(), {&exp_avg_, &exp_avg_sq_});
  std::vector<torch::Tensor> codes[2], scales[2];  // of the survivors' 8-bit moments
  int64_t begin = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    const torch::Tensor values = values_of(slot);
    const torch::Tensor stay = indices_below(values, threshold).to(torch::kLong);
    const torch::Tensor leaves = torch::ones({values.numel()}, stay.options().dtype(torch::kBool)).index_fill_(0, stay, false);
    const torch::Tensor leave = leaves.nonzero().view(-1);
    const auto append = [&leave](torch::Tensor& to, const torch::Tensor& from) {
      const torch::Tensor more = from.index_select(0, leave);
      to = to.defined() ? torch::cat({to, more}) : more;
    };
    append(retired_[i].indices, slot.indices);
    append(retired_[i].values, values);
    append(retired_[i].base, slot.base);
    for (const int moment : {0, 1}) {
      if (!eight_bit_moments()) break;
      const torch::Tensor numbers = from_eight_bit(moment ? second_moment(slot) : first_moment(slot)).index_select(0, stay);
      const EightBit rounded = to_eight_bit(numbers, /*is_signed=*/moment == 0);
      codes[moment].push_back(rounded.codes);
      scales[moment].push_back(rounded.scales);
    }
    for (const torch::Tensor* buffer : buffers) buffer->narrow(0, begin, stay.numel()).copy_(span(*buffer, slot).index_select(0, stay));
    gradient_.keep_entries_(i, stay);
    slot.entries = nullptr;  // holds the old positions
    slot.indices = slot.indices.index_select(0, stay);
    slot.base = slot.base.index_select(0, stay);
    slot.begin = std::exchange(begin, begin + stay.numel());
    slot.end = begin;
  }
  if (slots_.empty()) return;
  gradient_.finish_keeping_();
  for (torch::Tensor* buffer : buffers) *buffer = cut_(*buffer, begin);
  if (values_dropped_) values_ = cut_(values_, begin);
  if (eight_bit_moments()) {
    exp_avg_ = torch::cat(codes[0]);
    exp_avg_sq_ = torch::cat(codes[1]);
    exp_avg_scale_ = torch::cat(scales[0]);
    exp_avg_sq_scale_ = torch::cat(scales[1]);
  }
  bind_parameters_();
}

std::vector<Learned> Values::learned() const {
  std::vector<Learned> out;
  for (size_t i = slots_.size(); i-- > 0;) {
    const Slot& slot = slots_[i];
    Learned learned{slot.name, slot.weight, slot.indices, values_of(slot), slot.base.to(torch::kFloat)};
    if (const Retired& retired = retired_[i]; retired.indices.defined()) {
      const torch::Tensor indices = torch::cat({learned.indices, retired.indices}), order = indices.argsort();
      learned.indices = indices.index_select(0, order);
      learned.values = torch::cat({learned.values, retired.values}).index_select(0, order);
      learned.base = torch::cat({learned.base, retired.base.to(torch::kFloat)}).index_select(0, order);
    }
    out.push_back(std::move(learned));
  }
  return out;
}

std::string Values::fingerprint() const {
  Hasher hasher;
  for (const Slot& slot : slots_) hasher.update(message(slot.name, "=", tensor_hash(slot.indices), tensor_hash(values_of(slot)), "\n"));
  return hasher.hex();
}

HeldBytes Values::held_bytes() const {
  const auto bytes = [](const torch::Tensor& tensor) { return tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0; };
  HeldBytes held;
  held.state += active() * static_cast<int64_t>(sizeof(float));  // the gradient
  for (const torch::Tensor* buffer : {&exp_avg_, &exp_avg_sq_, &exp_avg_scale_, &exp_avg_sq_scale_}) held.state += bytes(*buffer);
  if (!values_dropped_) held.state += bytes(values_);
  for (size_t i = 0; i < slots_.size(); ++i) {
    held.index += bytes(slots_[i].indices) + bytes(slots_[i].offsets) + bytes(retired_[i].indices);
    held.state += bytes(retired_[i].values);
    held.base += bytes(slots_[i].base) + bytes(retired_[i].base);
  }
  return held;
}

void Values::require_in_place(const Slot& slot) const {
  const torch::Tensor& weight = slot.weight;
  const auto dtype = slot.base.scalar_type();
  if (weight.device() == values_.device() && weight.scalar_type() == dtype) return;
  throw InvalidArgument(message("parameters: ", escaped(slot.name), " was moved or converted after the optimizer was made (expected ", toString(dtype), " on ",
                                values_.device().str(), ", got ", toString(weight.scalar_type()), " on ", weight.device().str(),
                                "). Fix: move and convert the model first, then make the optimizer"));
}

void Values::require_in_place() const {
  for (const Slot& slot : slots_) require_in_place(slot);
}

void Values::verify_frozen() const {
  std::map<std::string, Learned> learned;
  for (Learned& item : this->learned()) learned.emplace(item.name, std::move(item));
  for (const auto& [name, weight] : scope_) {
    torch::Tensor restored = weight.detach();
    if (const auto item = learned.find(name); item != learned.end()) {
      restored = restored.clone();  // one tensor at a time
      sara::scatter_(restored, item->second.indices, item->second.base);
    }
    SARA_CHECK(tensor_hash(restored) == base_hashes_.at(name), "frozen weights of ", name, " have moved");
  }
}

}  // namespace sara
