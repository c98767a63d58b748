// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/magnitude.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <limits>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr int64_t kChunk = 1 << 16;  // fixed, so that nothing depends on the thread count

struct Counts {
  std::vector<int64_t> below, not_finite;  // per chunk
};

Counts chunk_counts(const torch::Tensor& flat, uint32_t limit) {
  const int64_t chunks = (flat.numel() + kChunk - 1) / kChunk;
  Counts out{std::vector<int64_t>(chunks), std::vector<int64_t>(chunks)};
  with_elements(flat, [&](const auto* data, int64_t count) {
    at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
      for (int64_t chunk = first; chunk < last; ++chunk) {
        const int64_t end = std::min(count, (chunk + 1) * kChunk);
        int32_t below = 0, not_finite = 0;
        for (int64_t i = chunk * kChunk; i < end; ++i) {
          const uint32_t bits = magnitude_bits(static_cast<float>(data[i]));
          below += bits < limit;
          not_finite += bits >= kInfinityBits;
        }
        out.below[chunk] = below;
        out.not_finite[chunk] = not_finite;
      }
    });
  });
  return out;
}

template <class Index>
void write_indices(const torch::Tensor& flat, uint32_t limit, const std::vector<int64_t>& starts, Index* out) {
  with_elements(flat, [&](const auto* data, int64_t count) {
    at::parallel_for(0, static_cast<int64_t>(starts.size()), 1, [&](int64_t first, int64_t last) {
      for (int64_t chunk = first; chunk < last; ++chunk) {
        Index* next = out + starts[chunk];
        const int64_t end = std::min(count, (chunk + 1) * kChunk);
        for (int64_t i = chunk * kChunk; i < end; ++i)
          if (magnitude_bits(static_cast<float>(data[i])) < limit) *next++ = static_cast<Index>(i);
      }
    });
  });
}

}  // namespace

uint32_t magnitude_limit(double threshold) {
  if (!(threshold > 0))
    throw InvalidArgument(message("threshold: out of range (expected > 0, got ", threshold, "). Fix: give a positive threshold or a budget"));
  auto limit = static_cast<float>(threshold);
  if (static_cast<double>(limit) < threshold) limit = std::nextafter(limit, std::numeric_limits<float>::infinity());
  return magnitude_bits(limit);
}

torch::Tensor flat_on_cpu(const torch::Tensor& tensor) { return tensor.detach().cpu().contiguous().view(-1); }

torch::Tensor indices_below(const torch::Tensor& tensor, double threshold) {
  const uint32_t limit = magnitude_limit(threshold);
  const torch::Tensor flat = flat_on_cpu(tensor);
  std::vector<int64_t> starts = chunk_counts(flat, limit).below;
  int64_t total = 0;
  for (auto& start : starts) start = std::exchange(total, total + start);
  const bool wide = flat.numel() > int64_t{1} << 31;
  torch::Tensor indices = torch::empty({total}, wide ? torch::kLong : torch::kInt);
  if (wide)
    write_indices(flat, limit, starts, indices.data_ptr<int64_t>());
  else
    write_indices(flat, limit, starts, indices.data_ptr<int32_t>());
  return indices.to(tensor.device());
}

std::vector<int64_t> counts_below(const NamedTensors& tensors, double threshold) {
  const uint32_t limit = magnitude_limit(threshold);
  std::vector<int64_t> out;
  for (const auto& [name, tensor] : tensors) {
    const auto counts = chunk_counts(flat_on_cpu(tensor), limit);
    int64_t below = 0, not_finite = 0;
    for (const int64_t count : counts.below) below += count;
    for (const int64_t count : counts.not_finite) not_finite += count;
    if (not_finite)
      throw BadFile(name, message(not_finite, " of ", tensor.numel(), " weights are NaN or infinite. Fix: use an intact base model"));
    out.push_back(below);
  }
  return out;
}

}  // namespace sara
