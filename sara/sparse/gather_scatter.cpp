// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/gather_scatter.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include "sara/base/error.h"
#include "sara/cuda/kernels.h"

namespace sara {
namespace {

constexpr int64_t kGrain = 1 << 15;

template <class Dense, class Index>
void gather_add_on_cpu(float* out, const Dense* dense, const Index* indices, int64_t count) {
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) out[k] += static_cast<float>(dense[indices[k]]);
  });
}

template <class Dense, class Compact, class Index>
void scatter_on_cpu(Dense* dense, const Index* indices, const Compact* values, int64_t count) {
  at::parallel_for(0, count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) dense[indices[k]] = static_cast<Dense>(values[k]);
  });
}

}  // namespace

torch::Tensor storage_offsets(const torch::Tensor& dense, const torch::Tensor& indices) {
  if (dense.is_contiguous()) return indices;
  torch::Tensor rest = indices.to(torch::kLong), offsets = torch::zeros_like(rest);
  for (int64_t d = dense.dim() - 1; d >= 0; --d) {
    offsets += rest.remainder(dense.size(d)) * dense.stride(d);
    rest = rest.div(dense.size(d), "floor");
  }
  return offsets;
}

torch::Tensor storage_line(const torch::Tensor& dense) {
  int64_t extent = dense.numel() > 0;
  for (int64_t d = 0; d < dense.dim() && extent; ++d) extent += (dense.size(d) - 1) * dense.stride(d);
  return dense.detach().as_strided({extent}, {1});
}

torch::Tensor gather(const torch::Tensor& dense, const torch::Tensor& indices) {
  // -0 + 0 is +0: selecting, unlike adding to zeros, keeps the sign of a zero.
  return storage_line(dense).index_select(0, storage_offsets(dense, indices)).to(torch::kFloat);
}

void gather_add_(const torch::Tensor& compact, const torch::Tensor& dense, const torch::Tensor& indices, const torch::Tensor& known_offsets) {
  SARA_CHECK(compact.numel() == indices.numel() && compact.scalar_type() == torch::kFloat && compact.is_contiguous());
  const bool is_line = dense.is_cpu() && dense.is_contiguous();  // small gradients, of which there are hundreds a step: read as they lie
  const torch::Tensor line = is_line ? dense : storage_line(dense), offsets = known_offsets.defined() ? known_offsets : storage_offsets(dense, indices);
  if (const auto* kernels = cuda::kernels(dense.device())) return kernels->gather_add(compact, line, offsets);
  if (!dense.is_cpu()) {
    compact.add_(line.index_select(0, offsets));
    return;
  }
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, line.scalar_type(), "gather_add_", [&] {
    AT_DISPATCH_INDEX_TYPES(offsets.scalar_type(), "gather_add_", [&] {
      gather_add_on_cpu(compact.data_ptr<float>(), line.const_data_ptr<scalar_t>(), offsets.const_data_ptr<index_t>(), offsets.numel());
    });
  });
}

void scatter_(const torch::Tensor& dense, const torch::Tensor& indices, const torch::Tensor& compact) {
  SARA_CHECK(compact.numel() == indices.numel() && compact.is_contiguous());
  const torch::Tensor line = storage_line(dense), offsets = storage_offsets(dense, indices);
  if (const auto* kernels = cuda::kernels(dense.device())) return kernels->scatter(line, offsets, compact);
  if (!dense.is_cpu()) {
    line.index_copy_(0, offsets.to(torch::kLong), compact.to(dense.scalar_type()));
    return;
  }
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, line.scalar_type(), "scatter_", [&] {
    AT_DISPATCH_INDEX_TYPES(offsets.scalar_type(), "scatter_", [&] {
      auto* out = line.data_ptr<scalar_t>();
      const auto* where = offsets.const_data_ptr<index_t>();
      if (compact.scalar_type() == line.scalar_type())
        scatter_on_cpu(out, where, compact.const_data_ptr<scalar_t>(), offsets.numel());
      else
        scatter_on_cpu(out, where, compact.const_data_ptr<float>(), offsets.numel());
    });
  });
}

}  // namespace sara
