// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/channel_sums.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "sara/ops/vectorized.h"

namespace sara {
namespace {

constexpr int64_t kRun = 64;       // numbers added up one after the other; longer sums are sums of such runs
constexpr int64_t kChannels = 64;  // next to each other that are summed together

// to[c] += sum_t from[t · stride + c] for c < channels <= kChannels.
template <class T>
SARA_INLINE void add_tokens(float* to, const T* from, int64_t tokens, int64_t channels, int64_t stride) {
  float run[kChannels];
  for (int64_t first = 0; first < tokens; first += kRun) {
    const int64_t end = tokens < first + kRun ? tokens : first + kRun;
    for (int64_t c = 0; c < kChannels; ++c) run[c] = 0;
    for (int64_t t = first; t < end; ++t) {
      if (channels == kChannels) {
#pragma omp simd
        for (int64_t c = 0; c < kChannels; ++c) run[c] += load(from + t * stride + c);
      } else {
        for (int64_t c = 0; c < channels; ++c) run[c] += load(from + t * stride + c);
      }
    }
    for (int64_t c = 0; c < channels; ++c) to[c] += run[c];
  }
}
SARA_VECTORIZED void add_tokens_f32(float* to, const float* from, int64_t tokens, int64_t channels, int64_t stride) { add_tokens(to, from, tokens, channels, stride); }
SARA_VECTORIZED void add_tokens_bf16(float* to, const bf16_bits* from, int64_t tokens, int64_t channels, int64_t stride) { add_tokens(to, from, tokens, channels, stride); }

// Numbers that lie together, some at a time over a register's lanes.
template <class T>
SARA_INLINE float sum_of(const T* from, int64_t count) {
  constexpr int64_t kTogether = 8 * kRun;
  float total = 0;
  for (int64_t first = 0; first < count; first += kTogether) {
    const int64_t end = count < first + kTogether ? count : first + kTogether;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = first; i < end; ++i) sum += load(from + i);
    total += sum;
  }
  return total;
}

bool has_loops(const torch::Tensor& x) { return x.is_cpu() && (x.scalar_type() == torch::kFloat || x.scalar_type() == torch::kBFloat16); }

}  // namespace

SARA_VECTORIZED float sum_of_line(const float* from, int64_t count) { return sum_of(from, count); }
SARA_VECTORIZED float sum_of_line(const bf16_bits* from, int64_t count) { return sum_of(from, count); }

torch::Tensor sum_over_tokens(const torch::Tensor& tokens) {
  const torch::Tensor rows = tokens.reshape({-1, tokens.size(-1)});
  if (!has_loops(rows)) return rows.sum(0, false, torch::kFloat);
  const torch::Tensor from = rows.contiguous(), sums = torch::zeros({from.size(1)}, torch::kFloat);
  const int64_t count = from.size(0), channels = from.size(1);
  at::parallel_for(0, (channels + kChannels - 1) / kChannels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * kChannels, together = std::min(kChannels, channels - first);
      if (from.scalar_type() == torch::kFloat)
        add_tokens_f32(sums.data_ptr<float>() + first, numbers<float>(from) + first, count, together, channels);
      else
        add_tokens_bf16(sums.data_ptr<float>() + first, numbers<bf16_bits>(from) + first, count, together, channels);
    }
  });
  return sums;
}

torch::Tensor sum_over_positions(const torch::Tensor& map) {
  const torch::Tensor planes = map.flatten(2);
  if (!has_loops(planes)) return planes.sum(2, false, torch::kFloat);
  const torch::Tensor from = planes.contiguous(), sums = torch::empty({from.size(0), from.size(1)}, torch::kFloat);
  const int64_t area = from.size(2);
  at::parallel_for(0, sums.numel(), 64, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane)
      sums.data_ptr<float>()[plane] = from.scalar_type() == torch::kFloat ? sum_of_line(numbers<float>(from) + plane * area, area) : sum_of_line(numbers<bf16_bits>(from) + plane * area, area);
  });
  return sums;
}

}  // namespace sara
