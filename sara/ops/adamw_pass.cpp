// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/adamw_pass.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/cuda/kernels.h"
#include "sara/sparse/gather_scatter.h"

namespace sara {
namespace {

constexpr int64_t kBlock = 4 * kMomentBlock;  // its numbers and their temporaries stay in the first-level cache
constexpr int64_t kPiece = 16 * kBlock;       // what a thread takes at once

// A tensor of the pass as plain memory.
struct Part {
  float* p;               // null: the dense fp32 weights themselves
  float *m, *v;           // null with 8-bit moments
  int8_t* m_codes;        // null with fp32 moments
  uint8_t* v_codes;
  float *m_scales, *v_scales;
  const float* gradient;
  const void* indices;
  void* dense;
  const void* base;  // null: decay to zero
  at::ScalarType dtype, index_type;
  std::vector<int64_t> sizes, strides;  // of a dense tensor that is not contiguous; empty otherwise
  int64_t count;
  AdamWFactors factors;
  int64_t first;  // place in the flat buffers
  uint32_t key;   // of this step's draws for 8-bit moments
};

Part part_of(const Values& values, const PassSlot& item, const std::vector<AdamWStep>& groups, bool decay_to_base) {
  const Values::Slot& slot = values.slots()[item.slot];
  const int64_t count = slot.end - slot.begin;
  SARA_CHECK(slot.indices.is_contiguous() && slot.base.is_contiguous() && slot.indices.numel() == count && slot.base.numel() == count);
  Part part{};
  if (!values.values_dropped()) part.p = values.values().data_ptr<float>() + slot.begin;
  if (values.eight_bit_moments()) {
    const EightBit first = values.first_moment(slot), second = values.second_moment(slot);
    part.m_codes = first.codes.data_ptr<int8_t>();
    part.v_codes = second.codes.data_ptr<uint8_t>();
    part.m_scales = first.scales.data_ptr<float>();
    part.v_scales = second.scales.data_ptr<float>();
    part.key = moment_key(groups[slot.group].step);
  } else {
    part.m = values.exp_avg().data_ptr<float>() + slot.begin;
    part.v = values.exp_avg_sq().data_ptr<float>() + slot.begin;
  }
  part.first = slot.begin;
  const torch::Tensor gradient = item.gradient.defined() ? item.gradient : values.gradient_of(item.slot);
  SARA_CHECK(gradient.scalar_type() == torch::kFloat && gradient.is_contiguous() && gradient.numel() == count);
  part.gradient = gradient.const_data_ptr<float>();
  part.indices = slot.indices.const_data_ptr();
  part.dense = slot.weight.data_ptr();
  part.base = decay_to_base ? slot.base.const_data_ptr() : nullptr;
  part.dtype = slot.weight.scalar_type();
  part.index_type = slot.indices.scalar_type();
  if (!slot.weight.is_contiguous()) {
    part.sizes = slot.weight.sizes().vec();
    part.strides = slot.weight.strides().vec();
  }
  part.count = count;
  part.factors = adamw_factors(groups[slot.group]);
  return part;
}

// Where flat positions of the contiguous tensor lie in a strided one.
template <class Index>
void strided_offsets(const Part& part, const Index* where, int64_t* offsets, int64_t count) {
  for (int64_t k = 0; k < count; ++k) {
    int64_t rest = where[k], offset = 0;
    for (size_t d = part.sizes.size(); d-- > 0; rest /= part.sizes[d]) offset += rest % part.sizes[d] * part.strides[d];
    offsets[k] = offset;
  }
}

// Calls use(offsets) with where `count` entries from `begin` lie in the dense tensor's memory.
template <class Use>
void with_offsets(const Part& part, int64_t begin, int64_t count, const Use& use) {
  const auto by = [&](const auto* where) {
    if (part.sizes.empty()) return use(where);
    int64_t offsets[kBlock];
    strided_offsets(part, where, offsets, count);
    use(static_cast<const int64_t*>(offsets));
  };
  if (part.index_type == torch::kInt)
    by(static_cast<const int32_t*>(part.indices) + begin);
  else
    by(static_cast<const int64_t*>(part.indices) + begin);
}

template <class Dense>
void write_dense(const Part& part, int64_t begin, const Dense* from, int64_t count) {
  auto* dense = static_cast<Dense*>(part.dense);
  with_offsets(part, begin, count, [&](const auto* where) {
    for (int64_t k = 0; k < count; ++k) dense[where[k]] = from[k];
  });
}

void read_dense(const Part& part, int64_t begin, float* to, int64_t count) {
  const auto* dense = static_cast<const float*>(part.dense);
  with_offsets(part, begin, count, [&](const auto* where) {
    for (int64_t k = 0; k < count; ++k) to[k] = dense[where[k]];
  });
}

// What decay pulls this block to, as fp32; null for zero.
const float* widened_base(const Part& part, int64_t begin, int64_t count, float* room) {
  if (!part.base) return nullptr;
  if (part.dtype == torch::kFloat) return static_cast<const float*>(part.base) + begin;
  const uint16_t* base = static_cast<const uint16_t*>(part.base) + begin;
  part.dtype == torch::kBFloat16 ? widen_bfloat16(base, room, count) : widen_half(base, room, count);
  return room;
}

void update_eight_bit(const Part& part, int64_t begin, int64_t count, float* p, const float* target) {
  float m[kMomentBlock], v[kMomentBlock];
  for (int64_t end = begin + count; begin < end; begin += kMomentBlock) {
    const int64_t size = std::min(kMomentBlock, end - begin), block = begin / kMomentBlock;
    const auto position = static_cast<uint32_t>(part.first + begin);
    widen_signed_codes(part.m_codes + begin, part.m_scales[block], m, size);
    widen_unsigned_codes(part.v_codes + begin, part.v_scales[block], v, size);
    update_adamw(p, part.gradient + begin, m, v, target, size, part.factors);
    p += size;
    part.m_scales[block] = round_to_signed_codes(m, part.m_codes + begin, size, position, part.key);
    part.v_scales[block] = round_to_unsigned_codes(v, part.v_codes + begin, size, position, part.key);
    if (target) target += size;
  }
}

void update_block(const Part& part, int64_t begin, int64_t count) {
  float target[kBlock], read[kBlock];
  float* const p = part.p ? part.p + begin : read;
  if (!part.p) read_dense(part, begin, read, count);
  const float* towards = widened_base(part, begin, count, target);
  if (part.m_codes)
    update_eight_bit(part, begin, count, p, towards);
  else
    update_adamw(p, part.gradient + begin, part.m + begin, part.v + begin, towards, count, part.factors);
  if (part.dtype == torch::kFloat) return write_dense<float>(part, begin, p, count);
  uint16_t rounded[kBlock];
  part.dtype == torch::kBFloat16 ? round_to_bfloat16(p, rounded, count) : round_to_half(p, rounded, count);
  write_dense<uint16_t>(part, begin, rounded, count);
}

struct Piece {
  const Part* part;
  int64_t begin, end;  // in its part
  int64_t first;       // place of its first entry among all entries of the pass
};

void pass_on_cpu(const std::vector<Part>& parts) {
  std::vector<Piece> pieces;
  int64_t total = 0;
  for (const Part& part : parts)
    for (int64_t begin = 0; begin < part.count; begin += kPiece) {
      const int64_t end = std::min(part.count, begin + kPiece);
      pieces.push_back({&part, begin, end, total});
      total += end - begin;
    }
  // Threads share out entries, not tensors: a piece belongs to the thread that has its first entry.
  at::parallel_for(0, total, kPiece, [&](int64_t from, int64_t to) {
    auto piece = std::lower_bound(pieces.begin(), pieces.end(), from, [](const Piece& p, int64_t entry) { return p.first < entry; });
    for (; piece != pieces.end() && piece->first < to; ++piece)
      for (int64_t begin = piece->begin; begin < piece->end; begin += kBlock)
        update_block(*piece->part, begin, std::min(kBlock, piece->end - begin));
  });
}

void pass_by_kernels(const cuda::Kernels& kernels, const Values& values, const std::vector<PassSlot>& slots, const std::vector<AdamWStep>& groups, bool decay_to_base,
                     const torch::Tensor& clip) {
  std::vector<cuda::PassTensor> tensors;
  for (const PassSlot& item : slots) {
    const Values::Slot& slot = values.slots()[item.slot];
    const AdamWStep& settings = groups[slot.group];
    const torch::Tensor offsets = slot.offsets_in(slot.weight);
    cuda::PassTensor tensor{.values = Values::span(values.values(), slot),
                            .gradient = item.gradient.defined() ? item.gradient : values.gradient_of(item.slot),
                            .dense = storage_line(slot.weight),
                            .offsets = offsets.defined() ? offsets : storage_offsets(slot.weight, slot.indices),
                            .base = decay_to_base ? slot.base : torch::Tensor(),
                            .exp_avg = Values::span(values.exp_avg(), slot),
                            .exp_avg_sq = Values::span(values.exp_avg_sq(), slot),
                            .exp_avg_scale = {},
                            .exp_avg_sq_scale = {},
                            .factors = adamw_factors(settings)};
    if (values.eight_bit_moments()) {
      tensor.exp_avg_scale = values.first_moment(slot).scales;
      tensor.exp_avg_sq_scale = values.second_moment(slot).scales;
      tensor.first = slot.begin;
      tensor.key = moment_key(settings.step);
    }
    tensors.push_back(std::move(tensor));
  }
  kernels.adamw_pass(tensors, clip);
}

// By tensor operations; neighbours of one group go together.
void pass_by_tensors(const Values& values, const std::vector<PassSlot>& slots, const std::vector<AdamWStep>& groups, bool decay_to_base) {
  for (size_t i = 0; i < slots.size();) {
    const Values::Slot& first = values.slots()[slots[i].slot];
    int64_t end = first.end;
    torch::Tensor gradient = slots[i].gradient, target = decay_to_base ? first.base.to(torch::kFloat) : torch::Tensor();
    const bool alone = values.eight_bit_moments();
    for (++i; i < slots.size() && !alone && !gradient.defined() && !target.defined() && !slots[i].gradient.defined(); ++i) {
      const Values::Slot& next = values.slots()[slots[i].slot];
      if (next.begin != end || next.group != first.group) break;
      end = next.end;
    }
    const auto span = [&](const torch::Tensor& buffer) { return buffer.narrow(0, first.begin, end - first.begin); };
    if (!gradient.defined()) gradient = span(values.gradient());
    if (alone) {
      const EightBit m_codes = values.first_moment(first), v_codes = values.second_moment(first);
      const torch::Tensor m = from_eight_bit(m_codes), v = from_eight_bit(v_codes);
      adamw_step_(span(values.values()), gradient, m, v, target, groups[first.group]);
      const uint32_t key = moment_key(groups[first.group].step);
      for (const auto& [to, numbers, is_signed] : {std::tuple{m_codes, m, true}, std::tuple{v_codes, v, false}}) {
        const EightBit rounded = to_eight_bit(numbers, is_signed, first.begin, key);
        to.codes.copy_(rounded.codes);
        to.scales.copy_(rounded.scales);
      }
    } else {
      adamw_step_(span(values.values()), gradient, span(values.exp_avg()), span(values.exp_avg_sq()), target, groups[first.group]);
    }
  }
  for (const PassSlot& item : slots) {
    const Values::Slot& slot = values.slots()[item.slot];
    scatter_(slot.weight, slot.indices, Values::span(values.values(), slot));
  }
}

}  // namespace

void adamw_pass_(const Values& values, const std::vector<PassSlot>& slots, const std::vector<AdamWStep>& groups, bool decay_to_base, const torch::Tensor& clip) {
  if (const auto* kernels = cuda::kernels(values.exp_avg().device())) return pass_by_kernels(*kernels, values, slots, groups, decay_to_base, clip);
  SARA_CHECK(!clip.defined());
  if (!values.exp_avg().is_cpu()) return pass_by_tensors(values, slots, groups, decay_to_base);
  std::vector<Part> parts;
  for (const PassSlot& item : slots) parts.push_back(part_of(values, item, groups, decay_to_base));
  pass_on_cpu(parts);
}

}  // namespace sara
