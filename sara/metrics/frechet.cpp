// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/frechet.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "sara/base/error.h"

namespace sara {
namespace {

struct Moments {
  torch::Tensor mean;    // [d]
  torch::Tensor factor;  // [min(N, d), d], factor^T factor = covariance
};

Moments moments(const torch::Tensor& features) {
  const auto x = features.to(torch::kCPU, torch::kFloat64);
  if (x.dim() != 2 || x.size(0) < 2 || x.size(1) < 1)
    throw InvalidArgument(message("Fréchet distance: features have the wrong shape (expected [at least 2, d], got ", x.sizes(), "). Fix: give two pictures or more"));
  if (!at::isfinite(x).all().item<bool>())
    throw InvalidArgument("Fréchet distance: the features hold NaN or Inf. Fix: check the weights of the feature network");
  const auto mean = x.mean(0);
  auto factor = (x - mean) / std::sqrt(static_cast<double>(x.size(0) - 1));
  if (x.size(0) > x.size(1)) factor = std::get<1>(at::linalg_qr(factor, "r"));
  return {mean, factor};
}

}  // namespace

double frechet_distance(const torch::Tensor& one, const torch::Tensor& other) {
  const auto a = moments(one), b = moments(other);
  if (a.mean.size(0) != b.mean.size(0))
    throw InvalidArgument(message("Fréchet distance: the sets have ", a.mean.size(0), " and ", b.mean.size(0), " features. Fix: use one network for both"));
  const auto apart = (a.mean - b.mean).square().sum();
  const auto spread = a.factor.square().sum() + b.factor.square().sum();  // tr S1 + tr S2
  const auto shared = at::linalg_svdvals(at::mm(a.factor, b.factor.t())).sum();
  return std::max(0.0, (apart + spread - 2 * shared).item<double>());
}

}  // namespace sara
