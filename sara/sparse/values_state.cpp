// SPDX-License-Identifier: Apache-2.0
// The parts of Values that the outside holds on to: group parameters, and the state that is saved and loaded.
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/sparse/gather_scatter.h"
#include "sara/sparse/values.h"

namespace sara {
namespace {

// Entries [begin, end) of a flat buffer as a tensor of its own on the same memory, not a view that autograd follows.
torch::Tensor alias(const torch::Tensor& buffer, std::pair<int64_t, int64_t> span) {
  return torch::empty({0}, buffer.options()).set_(buffer.storage(), buffer.storage_offset() + span.first, {span.second - span.first}, {1});
}

void require_size(const char* what, const torch::Tensor& tensor, int64_t size, at::ScalarType dtype) {
  if (tensor.defined() && tensor.dim() == 1 && tensor.numel() == size && tensor.scalar_type() == dtype) return;
  const std::string got = tensor.defined() ? message(toString(tensor.scalar_type()), " of shape ", tensor.sizes()) : "nothing";
  throw InvalidArgument(message("state: ", what, " does not fit (expected ", toString(dtype), " of shape [", size, "], got ", got,
                                "). Fix: load the state of an optimizer with the same base, scope, threshold and moments"));
}

}  // namespace

void Values::bind_parameters_() {
  const torch::NoGradGuard no_grad;
  int64_t block = 0;
  for (Slot& slot : slots_) slot.first_block = std::exchange(block, block + moment_blocks(slot.end - slot.begin));
  group_spans_.assign(parameters_.size(), {0, 0});
  int64_t end = active();  // the last group comes first in the buffers
  for (size_t group = 0; group < parameters_.size(); ++group) {
    int64_t size = 0;
    for (const Slot& slot : slots_) size += slot.group == group ? slot.end - slot.begin : 0;
    group_spans_[group] = {end - size, end};
    end -= size;
    torch::Tensor& parameter = parameters_[group];
    const torch::Tensor values = alias(values_, group_spans_[group]);
    if (parameter.defined())
      parameter.set_data(values);
    else
      parameter = values.set_requires_grad(true);
  }
  SARA_CHECK(end == 0, "groups do not lie together");
  if (gradient_.kept_whole()) bind_gradients_();
  find_rows_();
}

void Values::bind_gradients_() const {
  for (size_t group = 0; group < parameters_.size(); ++group) parameters_[group].mutable_grad() = alias(gradient_.whole(), group_spans_[group]);
}

CompactGradient::Spans Values::spans() const {
  CompactGradient::Spans out;
  for (const Slot& slot : slots_) out.emplace_back(slot.begin, slot.end);
  return out;
}

void Values::find_rows_() {
  for (Slot& slot : slots_) {
    slot.entries = nullptr;
    slot.offsets = torch::Tensor();
    slot.laid_out.clear();
    if (!slot.weight.is_cpu() && !slot.weight.is_contiguous()) {
      slot.offsets = storage_offsets(slot.weight, slot.indices).to(slot.indices.scalar_type());
      slot.laid_out = slot.weight.strides().vec();
    }
    if (slot.weight.dim() < 2 || !slot.weight.is_cpu()) continue;
    const int64_t rows = slot.weight.size(0), columns = slot.weight.numel() / rows;
    slot.row_starts = torch::empty({rows + 1}, torch::kLong);
    auto* starts = slot.row_starts.data_ptr<int64_t>();
    AT_DISPATCH_INDEX_TYPES(slot.indices.scalar_type(), "find_rows_", [&] {
      const auto* begin = slot.indices.const_data_ptr<index_t>();
      const auto* end = begin + slot.indices.numel();
      const auto* at = begin;
      for (int64_t row = 0; row <= rows; ++row) {
        at = std::lower_bound(at, end, row * columns, [](index_t index, int64_t bound) { return int64_t{index} < bound; });
        starts[row] = at - begin;
      }
    });
  }
}

std::pair<int64_t, int64_t> Values::group_block_span(size_t group) const {
  std::pair<int64_t, int64_t> out{0, 0};
  bool found = false;
  for (const Slot& slot : slots_) {
    if (slot.group != group) continue;
    if (!std::exchange(found, true)) out.first = slot.first_block;
    out.second = slot.first_block + moment_blocks(slot.end - slot.begin);
  }
  return out;
}

void Values::adopt_gradient_(size_t group) {
  if (!gradient_.kept_whole()) return;  // no one has seen a parameter yet
  torch::Tensor& parameter = parameters_[group];
  const auto [begin, end] = group_spans_[group];
  const torch::Tensor ours = gradient_.whole().narrow(0, begin, end - begin);
  const torch::Tensor given = parameter.grad();
  if (given.defined() && given.const_data_ptr() == ours.const_data_ptr() && given.sizes() == ours.sizes()) return;
  const torch::NoGradGuard no_grad;
  if (!given.defined()) {
    ours.zero_();
  } else {
    if (given.sizes() != ours.sizes())
      throw InvalidArgument(message("grad: wrong size (expected ", ours.sizes(), ", got ", given.sizes(), "). Fix: change the gradient in place"));
    ours.copy_(given);
  }
  parameter.mutable_grad() = alias(gradient_.whole(), group_spans_[group]);
}

void Values::adopt_gradients_() {
  for (size_t group = 0; group < parameters_.size(); ++group) adopt_gradient_(group);
}

void Values::clear_gradient_() {
  gradient_.clear_();
  after_backward_->queued = false;  // a backward pass that failed did not come to its end
  if (gradient_.kept_whole()) bind_gradients_();
}

std::vector<std::pair<std::string, int64_t>> Values::mask_counts() const {
  std::vector<std::pair<std::string, int64_t>> out;
  for (size_t i = 0; i < slots_.size(); ++i)
    out.emplace_back(slots_[i].name, slots_[i].indices.numel() + (retired_[i].indices.defined() ? retired_[i].indices.numel() : 0));
  return out;
}

ValuesState Values::state() const {
  ValuesState state{values(), exp_avg_, exp_avg_sq_, {}, {}, mask_counts(), mask_hash_, exp_avg_scale_, exp_avg_sq_scale_};
  if (active() == selected_) return state;
  std::vector<torch::Tensor> flags, retired;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const torch::Tensor& active = slots_[i].indices;
    const Retired& old = retired_[i];
    if (!old.indices.defined()) {
      flags.push_back(torch::ones({active.numel()}, active.options().dtype(torch::kBool)));
      continue;
    }
    const torch::Tensor order = torch::cat({active, old.indices}).argsort();
    flags.push_back(order.lt(active.numel()));
    retired.push_back(old.values.index_select(0, old.indices.argsort()));
  }
  state.still_active = torch::cat(flags);
  state.retired = torch::cat(retired);
  return state;
}

void Values::load_state_(const ValuesState& state) {
  const torch::NoGradGuard no_grad;
  require_in_place();
  const auto tensors = mask_counts();
  for (size_t i = 0; i < std::max(tensors.size(), state.tensors.size()); ++i) {
    const auto shown = [i](const auto& list) { return i < list.size() ? message(list[i].second, " weights of ", escaped(list[i].first)) : "nothing"; };
    if (shown(tensors) != shown(state.tensors))
      throw InvalidArgument(message("state: made for another mask or other groups (expected ", shown(tensors), ", got ", shown(state.tensors),
                                    "). Fix: load it into an optimizer made with the same groups and options"));
  }
  if (state.mask_hash != mask_hash_)
    throw InvalidArgument("state: made for another mask of the same size. Fix: load it into an optimizer made with the same options");
  if (state.still_active.defined()) require_size("still_active", state.still_active, selected_, torch::kBool);
  const int64_t active = state.still_active.defined() ? state.still_active.sum().item<int64_t>() : selected_;
  require_size("values", state.values, active, torch::kFloat);
  require_size("exp_avg", state.exp_avg, active, exp_avg_.scalar_type());
  require_size("exp_avg_sq", state.exp_avg_sq, active, exp_avg_sq_.scalar_type());
  if (eight_bit_moments()) {
    int64_t blocks = 0, first = 0;
    for (const auto& [name, count] : tensors) {
      blocks += moment_blocks(state.still_active.defined() ? state.still_active.narrow(0, first, count).sum().item<int64_t>() : count);
      first += count;
    }
    require_size("exp_avg_scale", state.exp_avg_scale, blocks, torch::kFloat);
    require_size("exp_avg_sq_scale", state.exp_avg_sq_scale, blocks, torch::kFloat);
  }
  if (active < selected_) require_size("retired", state.retired, selected_ - active, torch::kFloat);

  const auto device = values_.device();
  const auto own = [&](const torch::Tensor& tensor) { return tensor.detach().to(device, tensor.scalar_type(), false, /*copy=*/true); };
  const torch::Tensor retired_values = active < selected_ ? own(state.retired) : torch::Tensor();
  std::vector<Retired> retired(slots_.size());
  int64_t begin = 0, first = 0, left = 0;  // among the active, in the first mask, among the retired
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    torch::Tensor indices = slot.indices, base = slot.base;  // of the first mask
    if (retired_[i].indices.defined()) {
      indices = torch::cat({indices, retired_[i].indices});
      const torch::Tensor order = indices.argsort();
      indices = indices.index_select(0, order);
      base = torch::cat({base, retired_[i].base}).index_select(0, order);
    }
    if (active < selected_) {
      const torch::Tensor flags = state.still_active.narrow(0, first, indices.numel()).to(device);
      const torch::Tensor stay = flags.nonzero().view(-1), leave = flags.logical_not().nonzero().view(-1);
      retired[i] = {indices.index_select(0, leave), retired_values.narrow(0, left, leave.numel()).clone(), base.index_select(0, leave)};
      first += indices.numel();
      left += leave.numel();
      indices = indices.index_select(0, stay);
      base = base.index_select(0, stay);
      sara::scatter_(slot.weight, retired[i].indices, retired[i].values);
    }
    slot.entries = nullptr;  // holds the old positions
    slot.indices = indices;
    slot.base = base;
    slot.begin = std::exchange(begin, begin + indices.numel());
    slot.end = begin;
  }
  retired_ = std::move(retired);
  values_ = own(state.values);
  values_dropped_ = false;
  exp_avg_ = own(state.exp_avg);
  exp_avg_sq_ = own(state.exp_avg_sq);
  if (eight_bit_moments()) {
    exp_avg_scale_ = own(state.exp_avg_scale);
    exp_avg_sq_scale_ = own(state.exp_avg_sq_scale);
  }
  gradient_.reset(spans(), device);
  bind_parameters_();
  scatter_();
}

}  // namespace sara
