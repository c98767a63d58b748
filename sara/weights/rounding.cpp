// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/rounding.h"

namespace sara {

torch::Tensor rounded_once(const torch::Tensor& numbers, at::ScalarType dtype) {
  const torch::Tensor nearest = numbers.to(torch::kFloat);
  if (dtype == torch::kFloat) return nearest;
  // Round to odd: an inexact number becomes the neighbour towards zero with its last bit set, which no tie of the
  // shorter format has, so the second rounding goes where a single one would.
  const torch::Tensor back = nearest.to(torch::kDouble);
  const torch::Tensor truncated = nearest.view(torch::kInt) - back.abs().gt(numbers.abs()).to(torch::kInt);
  return (truncated | back.ne(numbers).to(torch::kInt)).view(torch::kFloat).to(dtype);
}

}  // namespace sara
