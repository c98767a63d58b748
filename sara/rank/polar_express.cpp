// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/polar_express.h"

#include <ATen/ops/addmm.h>

#include <iterator>
#include <limits>

namespace sara {
namespace {

struct Step {
  double a, b, c;
};

constexpr Step kSteps[] = {
    {8.4703288038, -25.1080747067, 18.6292755991},
    {4.1828341833, -3.1087011099, 0.5806066814},
    {3.9618572790, -2.9540637464, 0.5629761180},
    {3.2865862170, -2.4647201345, 0.5073576939},
    {2.2737499944, -1.6446603679, 0.4161909275},
    {1.8887161974, -1.2651572253, 0.3765189256},
};

}  // namespace

torch::Tensor polar_express(const torch::Tensor& matrix) {
  if (matrix.size(0) > matrix.size(1)) return polar_express(matrix.t()).t();
  // Zero stays zero without a look at it, for which a device would have to be waited for.
  torch::Tensor x = matrix.to(torch::kFloat) / matrix.abs().max().clamp_min(std::numeric_limits<float>::min());
  for (size_t k = 0; k < std::size(kSteps); ++k) {
    const auto& [a, b, c] = kSteps[k];
    torch::Tensor gram = x.matmul(x.t()), squared = gram.matmul(gram);
    if (k == 0) {
      const torch::Tensor bound = (squared.norm().sqrt() * (1 + 1e-5)).clamp_min(1);  // of s_max^2, rounding included; s_max >= 1, or zero
      x.div_(bound.sqrt());
      gram.div_(bound);
      squared.div_(bound.square());
    }
    x = at::addmm(x, squared.mul_(c).add_(gram, b), x, /*beta=*/a);
  }
  return x;
}

}  // namespace sara
