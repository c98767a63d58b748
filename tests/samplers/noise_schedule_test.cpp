// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/noise_schedule.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "sara/base/error.h"
#include "tests/samplers/paper_config.h"

namespace sara {
namespace {

TEST(NoiseSchedule, NoisyLatentsAndTargetsAsOnPaper) {
  SchedulerConfig config = paper_config();
  const auto latents = torch::full({2, 1, 2}, 3.0), noise = torch::full({2, 1, 2}, -1.0), timesteps = torch::tensor({0, 1}, torch::kInt64);
  const NoiseSchedule schedule(config);
  EXPECT_TRUE(torch::allclose(schedule.alphas_cumprod(), torch::tensor({0.64, 0.36}, torch::kFloat32)));
  const auto rows = [](double a, double b) { return torch::tensor({a, a, b, b}, torch::kFloat32).view({2, 1, 2}); };
  EXPECT_TRUE(torch::allclose(schedule.add_noise(latents, noise, timesteps), rows(2.4 - 0.6, 1.8 - 0.8)));
  EXPECT_TRUE(torch::allclose(schedule.velocity(latents, noise, timesteps), rows(-0.8 - 1.8, -0.6 - 2.4)));
  EXPECT_TRUE(torch::equal(schedule.target(latents, noise, timesteps), noise));
  config.prediction_type = "sample";
  EXPECT_TRUE(torch::equal(NoiseSchedule(config).target(latents, noise, timesteps), latents));
  config.prediction_type = "v_prediction";
  EXPECT_TRUE(torch::allclose(NoiseSchedule(config).target(latents, noise, timesteps), rows(-2.6, -3.0)));
}

TEST(NoiseSchedule, BetaSchedulesHaveTheirEnds) {
  SchedulerConfig config;
  config.beta_start = 0.00085, config.beta_end = 0.012;
  for (const char* kind : {"linear", "scaled_linear"}) {
    config.beta_schedule = kind;
    const auto betas = training_betas(config);
    EXPECT_NEAR(betas[0].item<double>(), 0.00085, 1e-9);
    EXPECT_NEAR(betas[-1].item<double>(), 0.012, 1e-8);
  }
  EXPECT_NEAR(training_betas(config)[500].sqrt().item<double>(), (std::sqrt(0.00085) * 499 + std::sqrt(0.012) * 500) / 999, 1e-7);
  config.beta_schedule = "squaredcos_cap_v2";
  const NoiseSchedule cosine(config);
  const auto left = [](double t) { return std::pow(std::cos((t + 0.008) / 1.008 * std::acos(-1) / 2), 2); };
  EXPECT_NEAR(cosine.alphas_cumprod()[499].item<double>(), left(0.5) / left(0), 1e-4);
  EXPECT_NEAR(training_betas(config)[-1].item<double>(), 0.999, 1e-7);
}

TEST(NoiseSchedule, ZeroSnrEndsInPureNoiseAndKeepsTheStart) {
  SchedulerConfig config;
  const float first = NoiseSchedule(config).alphas_cumprod()[0].item<float>();
  config.rescale_betas_zero_snr = true;
  const NoiseSchedule schedule(config);
  EXPECT_EQ(schedule.alphas_cumprod()[-1].item<float>(), 0.0f);
  EXPECT_NEAR(schedule.alphas_cumprod()[0].item<float>(), first, 1e-6);
  const auto latents = torch::randn({1, 4}), noise = torch::randn({1, 4});
  EXPECT_TRUE(torch::equal(schedule.add_noise(latents, noise, torch::tensor({999}, torch::kInt64)), noise));
}

TEST(NoiseSchedule, HalfPrecisionLatentsKeepTheirKindAndLoseNoMoreThanOneRounding) {
  const NoiseSchedule schedule{SchedulerConfig()};
  const auto latents = torch::randn({3, 4}), noise = torch::randn({3, 4}), timesteps = torch::tensor({0, 400, 999}, torch::kInt64);
  const auto half = schedule.add_noise(latents.to(torch::kBFloat16), noise.to(torch::kBFloat16), timesteps);
  EXPECT_EQ(half.scalar_type(), torch::kBFloat16);
  EXPECT_LT((half.to(torch::kFloat32) - schedule.add_noise(latents, noise, timesteps)).abs().max().item<double>(), 0.05);
}

TEST(NoiseSchedule, StridedLatentsGiveWhatTheirCopyGives) {
  const NoiseSchedule schedule{SchedulerConfig()};
  const auto latents = torch::randn({4, 3, 2}).permute({2, 1, 0}), noise = torch::randn({2, 3, 4});
  const auto timesteps = torch::tensor({10, 20}, torch::kInt64);
  EXPECT_TRUE(torch::equal(schedule.add_noise(latents, noise, timesteps), schedule.add_noise(latents.contiguous(), noise, timesteps)));
}

TEST(NoiseSchedule, WhatDoesNotFitIsRefused) {
  const NoiseSchedule schedule(paper_config());
  const auto x = torch::zeros({2, 1});
  const auto at = [](std::vector<int64_t> t) { return torch::tensor(t, torch::kInt64); };
  EXPECT_THROW(schedule.add_noise(x, torch::zeros({2, 2}), at({0, 1})), InvalidArgument);
  EXPECT_THROW(schedule.add_noise(x, x, at({0})), InvalidArgument);
  EXPECT_THROW(schedule.add_noise(x, x, torch::zeros({2})), InvalidArgument);
  try {
    schedule.velocity(x, x, at({0, 2}));
    FAIL() << "timestep 2 of 2 was taken";
  } catch (const InvalidArgument& error) {
    EXPECT_STREQ(error.what(), "timestep outside the schedule (expected 0 to 1, got 0 to 2)");
  }
}

}  // namespace
}  // namespace sara
