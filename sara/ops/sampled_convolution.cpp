// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_convolution.h"

#include "sara/base/error.h"
#include "sara/ops/sampled_dots.h"
#include "sara/ops/sampled_pictures.h"
#include "sara/ops/sampled_windows.h"

namespace sara {
namespace {

// Has the result a place for every row and number of the input?
bool fits(const torch::Tensor& gradient, const torch::Tensor& input, int64_t stride) {
  return (input.size(2) + stride - 1) / stride <= gradient.size(2) && (input.size(3) + stride - 1) / stride <= gradient.size(3);
}

}  // namespace

bool sampled_convolution_add_(const torch::Tensor& out, const SampledPositions& positions, const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape,
                              const torch::Tensor& sums) {
  SARA_CHECK(out.is_contiguous() && out.numel() == positions.indices.numel() && out.scalar_type() == torch::kFloat && positions.row_starts.numel() == gradient.size(1) + 1);
  SARA_CHECK(gradient.scalar_type() == input.scalar_type() && gradient.size(0) == input.size(0));
  SARA_CHECK(!sums.defined() || (sums.is_contiguous() && sums.scalar_type() == torch::kFloat && sums.numel() == gradient.size(0) * gradient.size(1)));
  if (!fits(gradient, input, shape.stride)) return false;
  const auto dtype = sampled_dtype(input.scalar_type());
  const auto add = windows_pay(dtype, gradient.size(2), gradient.size(3), shape) ? sampled_windows_add_ : sampled_pictures_add_;
  add(out, positions, gradient.to(dtype).contiguous(), input.to(dtype).contiguous(), shape, sums.defined() ? sums.data_ptr<float>() : nullptr);
  return true;
}

}  // namespace sara
