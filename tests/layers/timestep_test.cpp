// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/timestep.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sara/layers/activation.h"

namespace sara {
namespace {

TEST(Sinusoids, OfTimestepZeroAreOnesThenZeros) {
  EXPECT_TRUE(sinusoids(torch::tensor({0}), {.channels = 4}).equal(torch::tensor({{1.0f, 1.0f, 0.0f, 0.0f}})));
}

TEST(Sinusoids, UseFrequenciesFromOneDownTowards1In10000) {
  // Two frequencies: 1 and 10000^(-1/2) = 0.01.
  const auto got = sinusoids(torch::tensor({2}), {.channels = 4, .flip_sin_to_cos = false});
  const auto expected =
      torch::tensor({{std::sin(2.0), std::sin(0.02), std::cos(2.0), std::cos(0.02)}}, torch::kFloat32);
  EXPECT_TRUE(got.allclose(expected));
}

TEST(Sinusoids, FrequencyShiftOfOneMakesTheLastFrequencyExactly1In10000) {
  const auto got = sinusoids(torch::tensor({5000}), {.channels = 4, .flip_sin_to_cos = false, .freq_shift = 1});
  EXPECT_NEAR(got[0][1].item<float>(), std::sin(0.5), 1e-6);
}

TEST(Sinusoids, AnOddWidthEndsInAZero) {
  const auto got = sinusoids(torch::tensor({7, 8}), {.channels = 5});
  EXPECT_EQ(got.sizes(), (std::vector<int64_t>{2, 5}));
  EXPECT_TRUE(got.select(1, 4).equal(torch::zeros({2})));
}

TEST(Sinusoids, AreSinglePrecisionWhateverTheTimestepsAre) {
  const auto from_integers = sinusoids(torch::tensor({999}), {});
  EXPECT_EQ(from_integers.scalar_type(), torch::kFloat32);
  EXPECT_TRUE(from_integers.equal(sinusoids(torch::tensor({999.0}, torch::kFloat64), {})));
}

TEST(TimestepEmbedding, IsTwoLinearLayersWithSiluBetween) {
  const torch::NoGradGuard no_grad;
  TimestepEmbedding embedding(1, 1, torch::kFloat32);
  for (auto& parameter : embedding.parameters()) parameter.fill_(2);
  // linear_1: 2·1 + 2 = 4; linear_2: 2 silu(4) + 2.
  const double silu = 4 / (1 + std::exp(-4.0));
  EXPECT_NEAR(embedding.forward(torch::ones({1, 1})).item<float>(), 2 * silu + 2, 1e-5);
}

TEST(Activation, GeluIsExactAndQuickGeluIsTheSigmoidForm) {
  const auto one = torch::ones({1}, torch::kFloat64);
  EXPECT_NEAR(activate(one, Activation::gelu).item<double>(), 0.5 * (1 + std::erf(std::sqrt(0.5))), 1e-12);
  EXPECT_NEAR(activate(one, Activation::quick_gelu).item<double>(), 1 / (1 + std::exp(-1.702)), 1e-12);
}

}  // namespace
}  // namespace sara
