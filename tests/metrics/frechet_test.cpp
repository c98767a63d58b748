// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/frechet.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/metrics/clip_score.h"

namespace sara {
namespace {

TEST(Frechet, OnPaperForOneFeature) {
  // Means 1 and 5; variances 2 and 18: (1 - 5)^2 + (sqrt 2 - sqrt 18)^2 = 16 + 8.
  const auto one = torch::tensor({0.0, 2.0}).view({2, 1}), other = torch::tensor({2.0, 8.0}).view({2, 1});
  EXPECT_NEAR(frechet_distance(one, other), 24, 1e-12);
}

TEST(Frechet, OfASetAndItselfIsZeroAlsoWithFewerPicturesThanFeatures) {
  for (const int64_t n : {5, 200}) {
    const auto x = torch::randn({n, 40});
    EXPECT_NEAR(frechet_distance(x, x), 0, 1e-9);
  }
}

TEST(Frechet, IsTheSameBothWaysAndUnderRotation) {
  const auto a = torch::randn({30, 6}, torch::kFloat64), b = torch::randn({4, 6}, torch::kFloat64) * 2 + 1;
  const auto turn = std::get<0>(at::linalg_qr(torch::randn({6, 6}, torch::kFloat64), "reduced"));
  const double distance = frechet_distance(a, b);
  EXPECT_NEAR(frechet_distance(b, a), distance, 1e-9 * distance);
  EXPECT_NEAR(frechet_distance(at::mm(a, turn), at::mm(b, turn)), distance, 1e-9 * distance);
}

TEST(Frechet, OfHalvesOfOneSetFallsWithTheirSize) {
  const auto halves = [](int64_t n) { return frechet_distance(torch::randn({n, 32}), torch::randn({n, 32})); };
  EXPECT_GT(halves(32), 10 * halves(2048));  // the bias that N is printed for
}

TEST(Frechet, RefusesOneRowAnotherWidthAndNaN) {
  const auto x = torch::randn({4, 3});
  EXPECT_THROW(frechet_distance(x, torch::randn({1, 3})), InvalidArgument);
  EXPECT_THROW(frechet_distance(x, torch::randn({4, 2})), InvalidArgument);
  EXPECT_THROW(frechet_distance(x, x * NAN), InvalidArgument);
}

TEST(ClipScore, OnPaper) {
  const auto pictures = torch::tensor({{3.0, 4.0}, {0.0, 2.0}}), texts = torch::tensor({{1.0, 0.0}, {0.0, -5.0}});
  EXPECT_NEAR(clip_t(pictures, texts), 100 * (0.6 - 1) / 2, 1e-12);  // negative cosines count
  EXPECT_NEAR(clip_i(pictures, torch::tensor({{0.0, 1.0}, {7.0, 0.0}, {0.0, 9.0}})), (0.8 + 0.6 + 0.8 + 1 + 0 + 1) / 6, 1e-12);
  EXPECT_THROW(clip_t(pictures, torch::randn({3, 2})), InvalidArgument);
  EXPECT_THROW(clip_i(pictures, torch::randn({3, 4})), InvalidArgument);
}

}  // namespace
}  // namespace sara
