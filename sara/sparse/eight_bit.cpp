// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/eight_bit.h"

#include <ATen/ops/constant_pad_nd.h>
#include <torch/utils.h>

#include "sara/base/error.h"
#include "sara/base/random.h"

namespace sara {
namespace {

// The magnitude of a level as a fraction of the scale.
torch::Tensor level(const torch::Tensor& codes, bool is_signed) {
  const torch::Tensor x = codes * (is_signed ? 1.0f / 127 : 1.0f / 255), square = x * x;
  return is_signed ? square : square * square;
}

torch::Tensor in_blocks(const torch::Tensor& numbers) {
  const int64_t room = moment_blocks(numbers.numel()) * kMomentBlock;
  return at::constant_pad_nd(numbers, {0, room - numbers.numel()}).view({-1, kMomentBlock});
}

// 16 of a position's 32 random bits as a number in (0, 1); ops/vector_kernels.cpp draws the same.
torch::Tensor draws(int64_t first, int64_t count, uint32_t key, bool is_signed, torch::Device device) {
  constexpr int64_t kMask = 0xffffffff;
  torch::Tensor h = (torch::arange(first, first + count, torch::TensorOptions(device).dtype(torch::kLong)) * 0x9e3779b9 & kMask) ^ static_cast<int64_t>(key);
  const auto mix = [&](int64_t shift, int64_t factor) { h = ((h ^ h.bitwise_right_shift(shift)) * factor) & kMask; };
  mix(16, 0x85ebca6b);
  mix(13, 0xc2b2ae35);
  h = h ^ h.bitwise_right_shift(16);
  h = is_signed ? h & 0xffff : h.bitwise_right_shift(16);
  return (h.to(torch::kFloat) + 0.5f) * (1.0f / 65536);
}

}  // namespace

EightBit to_eight_bit(const torch::Tensor& numbers, bool is_signed, int64_t first, std::optional<uint32_t> key) {
  const torch::NoGradGuard no_grad;
  SARA_CHECK(numbers.dim() == 1 && numbers.scalar_type() == torch::kFloat);
  const auto dtype = is_signed ? torch::kChar : torch::kByte;
  if (numbers.numel() == 0) return {torch::empty({0}, numbers.options().dtype(dtype)), torch::empty({0}, numbers.options())};
  const torch::Tensor blocks = in_blocks(numbers).abs(), scales = blocks.amax(1);
  const torch::Tensor fraction = (blocks / scales.unsqueeze(1)).nan_to_num(0.0).view(-1).narrow(0, 0, numbers.numel());
  const float top = is_signed ? 127 : 255;
  const torch::Tensor below = ((is_signed ? fraction.sqrt() : fraction.sqrt().sqrt()) * top).floor();
  const torch::Tensor low = level(below, is_signed), high = level(below + 1, is_signed);
  const torch::Tensor draw = key ? draws(first, numbers.numel(), *key, is_signed, numbers.device()) : torch::full({}, 0.5f, numbers.options());
  torch::Tensor code = below + (draw * (high - low)).lt(fraction - low).to(torch::kFloat);
  code = is_signed ? code * numbers.sign() : torch::where(fraction.gt(0), code.clamp_min(1), code);
  return {code.to(dtype), scales};
}

torch::Tensor from_eight_bit(const EightBit& numbers) {
  const torch::NoGradGuard no_grad;
  const bool is_signed = numbers.codes.scalar_type() == torch::kChar;
  if (numbers.codes.numel() == 0) return torch::empty({0}, numbers.scales.options());
  const torch::Tensor codes = numbers.codes.to(torch::kFloat), magnitude = level(codes, is_signed);
  const torch::Tensor fraction = is_signed ? magnitude * codes.sign() : magnitude;
  return (in_blocks(fraction) * numbers.scales.unsqueeze(1)).view(-1).narrow(0, 0, codes.numel()).contiguous();
}

uint32_t moment_key(int64_t update) { return static_cast<uint32_t>(stream_key(0, "moments", static_cast<uint64_t>(update))); }

}  // namespace sara
