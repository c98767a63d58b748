// SPDX-License-Identifier: Apache-2.0
#include "sara/train/loss.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace sara {
namespace {

NoiseSchedule schedule(const std::string& prediction_type, bool zero_snr = false) {
  SchedulerConfig config;
  config.prediction_type = prediction_type;
  config.rescale_betas_zero_snr = zero_snr;
  return NoiseSchedule(config);
}

TEST(SnrWeights, FollowTheFormulaOfEachPredictionType) {
  const auto timesteps = torch::tensor({0, 10, 300, 999});
  for (const char* type : {"epsilon", "v_prediction", "sample"}) {
    const auto plan = schedule(type);
    const auto weights = snr_weights(plan, timesteps, 5);
    for (int i = 0; i < 4; ++i) {
      const double alpha = plan.alphas_cumprod()[timesteps[i].item<int64_t>()].item<double>();
      const double snr = alpha / (1 - alpha), capped = std::min(snr, 5.0);
      const double expected = std::string(type) == "epsilon" ? capped / snr : std::string(type) == "sample" ? capped : capped / (snr + 1);
      EXPECT_NEAR(weights[i].item<double>(), expected, 1e-5 * expected) << type << i;
    }
  }
}

TEST(SnrWeights, StayFiniteWhereThePictureIsAllNoise) {
  const auto last = torch::tensor({999});
  EXPECT_EQ(snr_weights(schedule("epsilon", true), last, 5).item<double>(), 1);
  EXPECT_EQ(snr_weights(schedule("v_prediction", true), last, 5).item<double>(), 0);
}

TEST(DenoisingLoss, IsTheMeanSquaredError) {
  const auto predicted = torch::tensor({1.0f, 2.0f, 3.0f, 5.0f}).view({2, 2}), target = torch::tensor({1.0f, 0.0f, 0.0f, 1.0f}).view({2, 2});
  EXPECT_FLOAT_EQ(denoising_loss(predicted, target, {}).item<float>(), (0 + 4 + 9 + 16) / 4.0f);
  EXPECT_FLOAT_EQ(denoising_loss(predicted, target, torch::tensor({1.0f, 0.5f})).item<float>(), (2 * 1 + 12.5f * 0.5f) / 2);
}

TEST(DenoisingLoss, IsTakenInFp32) {
  const auto predicted = torch::full({1, 1000}, 300, torch::kHalf);  // squares beyond fp16
  EXPECT_FLOAT_EQ(denoising_loss(predicted, torch::zeros({1, 1000}, torch::kHalf), {}).item<float>(), 90000);
}

struct Draws : testing::Test {
  static NoiseDraws draw(double offset, double dropout, uint64_t key = 7, int64_t batch = 64) { return draw_noise({batch, 4, 3, 3}, 0, 1000, offset, dropout, key); }
};

TEST_F(Draws, DependOnTheKeyAlone) {
  const auto first = draw(0, 0), again = draw(0, 0), other = draw(0, 0, 8);
  EXPECT_TRUE(first.noise.equal(again.noise) && first.timesteps.equal(again.timesteps) && first.posterior_noise.equal(again.posterior_noise));
  EXPECT_FALSE(first.noise.equal(other.noise));
  EXPECT_FALSE(first.timesteps.equal(other.timesteps));
  EXPECT_FALSE(first.noise.equal(first.posterior_noise));
}

TEST_F(Draws, SwitchingOneOnShiftsNoOther) {
  const auto plain = draw(0, 0), offset = draw(0.1, 0), dropped = draw(0, 0.5), both = draw(0.1, 0.5);
  for (const auto* other : {&offset, &dropped, &both}) {
    EXPECT_TRUE(plain.timesteps.equal(other->timesteps));
    EXPECT_TRUE(plain.posterior_noise.equal(other->posterior_noise));
  }
  EXPECT_TRUE(plain.noise.equal(dropped.noise));
  EXPECT_TRUE(offset.noise.equal(both.noise));
  EXPECT_TRUE(dropped.dropped.equal(both.dropped));
}

TEST_F(Draws, AnOffsetIsOneNumberAnImageAndChannel) {
  const auto moved = draw(0.5, 0).noise - draw(0, 0).noise;
  EXPECT_LT((moved - moved.mean({2, 3}, true)).abs().max().item<double>(), 1e-6);
  EXPECT_NEAR(moved.mean({2, 3}).std().item<double>(), 0.5, 0.12);
}

TEST_F(Draws, AreUniformOverTheScheduleAndStandardNormal) {
  const auto draws = draw(0, 0.25, 3, 4000);
  EXPECT_GE(draws.timesteps.min().item<int64_t>(), 0);
  EXPECT_LT(draws.timesteps.max().item<int64_t>(), 1000);
  EXPECT_NEAR(draws.timesteps.to(torch::kFloat).mean().item<double>(), 499.5, 25);
  EXPECT_NEAR(draws.noise.mean().item<double>(), 0, 0.015);
  EXPECT_NEAR(draws.noise.std().item<double>(), 1, 0.015);
  EXPECT_NEAR(draws.dropped.to(torch::kFloat).mean().item<double>(), 0.25, 0.035);
  EXPECT_TRUE(draw(0, 1).dropped.all().item<bool>());
  EXPECT_FALSE(draw(0, 0).dropped.any().item<bool>());
}

TEST_F(Draws, OfARangeOfTimestepsFillItAndLeaveTheNoiseAsItIs) {
  const auto whole = draw(0, 0, 7, 500), part = draw_noise({500, 4, 3, 3}, 20, 24, 0, 0, 7);
  EXPECT_EQ(part.timesteps.min().item<int64_t>(), 20);
  EXPECT_EQ(part.timesteps.max().item<int64_t>(), 23);
  EXPECT_TRUE(part.noise.equal(whole.noise));
}

}  // namespace
}  // namespace sara
