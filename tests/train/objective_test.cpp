// SPDX-License-Identifier: Apache-2.0
#include "sara/train/objective.h"

#include <gtest/gtest.h>

#include <numbers>

#include "sara/base/error.h"
#include "sara/samplers/flow_match.h"

namespace sara {
namespace {

SchedulerConfig flow_config(double shift = 3) {
  auto config = SchedulerConfig::defaults("FlowMatchEulerDiscreteScheduler");
  config.shift = shift;
  return config;
}

NoiseDraws draws_of(int64_t count) { return draw_noise({count, 2, 3, 3}, 0, 1000, 0, 0, 1); }

// The share of timesteps in each third of the schedule, cleanest first.
std::vector<double> thirds(const FlowOptions& options) {
  const FlowObjective objective(flow_config(), options, {0, 1000});
  const auto batch = objective.noisy(torch::zeros({6000, 1, 1, 1}), {{}, torch::zeros({6000, 1, 1, 1}), {}, {}}, 9);
  std::vector<double> shares;
  for (const int64_t first : {0, 333, 667}) {
    const int64_t end = first == 0 ? 333 : first == 333 ? 667 : 1000;
    shares.push_back((batch.timesteps.ge(first) & batch.timesteps.lt(end)).to(torch::kFloat).mean().item<double>());
  }
  return shares;
}

TEST(FlowObjective, MixesPictureAndNoiseByTheLevelItTells) {
  const FlowObjective objective(flow_config(), {}, {0, 1000});
  const auto latents = torch::randn({5, 2, 3, 3});
  const auto draws = draws_of(5);
  const auto batch = objective.noisy(latents, draws, 4);
  const auto sigma = (batch.told / 1000).view({5, 1, 1, 1});
  EXPECT_TRUE(batch.noisy.allclose((1 - sigma) * latents + sigma * draws.noise, 1e-5, 1e-6));
  const auto levels = flow_sigmas(flow_config());
  for (int64_t i = 0; i < 5; ++i)
    EXPECT_FLOAT_EQ(batch.told[i].item<float>(), levels[size_t(999 - batch.timesteps[i].item<int64_t>())] * 1000);
}

TEST(FlowObjective, ThePerfectAnswerCostsNothingInEveryForm) {
  const auto latents = torch::randn({4, 2, 3, 3});
  const auto draws = draws_of(4);
  for (const char* scheme : {"logit_normal", "mode", "sigma_sqrt", "cosmap", "none"}) {
    for (const int64_t preconditioned : {0, 1}) {
      FlowOptions options;
      options.weighting_scheme = scheme;
      options.precondition_outputs = preconditioned;
      const FlowObjective objective(flow_config(), options, {0, 1000});
      const auto batch = objective.noisy(latents, draws, 4);
      EXPECT_LT(objective.loss(draws.noise - latents, batch).item<double>(), 1e-8) << scheme;
      EXPECT_GT(objective.loss(draws.noise, batch).item<double>(), 1e-3) << scheme;
    }
  }
}

TEST(FlowObjective, PreconditionedOutputsWeighTheErrorByTheSquaredLevel) {
  FlowOptions plain, preconditioned;
  preconditioned.precondition_outputs = 1;
  const auto latents = torch::randn({1, 2, 3, 3}), answer = torch::randn({1, 2, 3, 3});
  const auto draws = draws_of(1);
  const FlowObjective a(flow_config(), plain, {0, 1000}), b(flow_config(), preconditioned, {0, 1000});
  const auto batch = a.noisy(latents, draws, 4);
  const double sigma = batch.told.item<double>() / 1000;
  EXPECT_NEAR(b.loss(answer, batch).item<double>(), sigma * sigma * a.loss(answer, batch).item<double>(), 1e-5);
}

TEST(FlowObjective, WeighsTheLossAsTheSchemeSays) {
  const auto latents = torch::randn({1, 2, 3, 3}), answer = torch::randn({1, 2, 3, 3});
  const auto draws = draws_of(1);
  const auto loss = [&](const char* scheme) {
    FlowOptions options;
    options.weighting_scheme = scheme;
    const FlowObjective objective(flow_config(), options, {500, 501});  // one level alone
    return objective.loss(answer, objective.noisy(latents, draws, 4)).item<double>();
  };
  const double sigma = flow_sigmas(flow_config())[499], plain = loss("none");
  EXPECT_NEAR(loss("sigma_sqrt"), plain / (sigma * sigma), 1e-4);
  EXPECT_NEAR(loss("cosmap"), plain * 2 / (std::numbers::pi * (1 - 2 * sigma + 2 * sigma * sigma)), 1e-4);
  EXPECT_NEAR(loss("logit_normal"), plain, 1e-6);
}

TEST(FlowObjective, LogitNormalTrainsTheMiddleMostAndItsMeanMovesIt) {
  FlowOptions options;
  options.weighting_scheme = "none";
  for (const double share : thirds(options)) EXPECT_NEAR(share, 1.0 / 3, 0.03);
  const auto middle = thirds({});
  EXPECT_GT(middle[1], 0.45);
  EXPECT_NEAR(middle[0], middle[2], 0.04);
  FlowOptions lower;
  lower.logit_mean = -1.0;  // shares are counted from the noisiest: a small share is much noise
  EXPECT_GT(thirds(lower)[2], 0.5);
}

TEST(FlowObjective, DrawsFromTheRangeAlone) {
  const FlowObjective objective(flow_config(), {}, {100, 110});
  const auto batch = objective.noisy(torch::zeros({400, 1, 1, 1}), {{}, torch::zeros({400, 1, 1, 1}), {}, {}}, 9);
  EXPECT_EQ(batch.timesteps.min().item<int64_t>(), 100);
  EXPECT_EQ(batch.timesteps.max().item<int64_t>(), 109);
}

TEST(Objective, OptionsOfTheOtherKindOfModelAreRefused) {
  const auto refusal = [](const SchedulerConfig& config, const TrainOptions& options, const FlowOptions& flow) {
    try {
      make_objective(config, options, flow);
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  FlowOptions flow;
  EXPECT_EQ(refusal(SchedulerConfig(), {}, flow), "accepted");
  EXPECT_EQ(refusal(flow_config(), {}, flow), "accepted");
  flow.logit_std = 2;
  EXPECT_EQ(refusal(flow_config(), {}, flow), "accepted");
  EXPECT_NE(refusal(SchedulerConfig(), {}, flow).find("logit_std: only flow-matching models"), std::string::npos);
  flow.weighting_scheme = "mode";
  EXPECT_NE(refusal(flow_config(), {}, flow).find("logit_std: no effect with weighting_scheme mode"), std::string::npos);
  TrainOptions gamma;
  gamma.snr_gamma = 5;
  EXPECT_NE(refusal(flow_config(), gamma, {}).find("snr_gamma: not for flow-matching"), std::string::npos);
  auto dynamic = flow_config();
  dynamic.use_dynamic_shifting = true;
  EXPECT_NE(refusal(dynamic, {}, {}).find("use_dynamic_shifting"), std::string::npos);
  TrainOptions range;
  range.max_timestep = 1001;
  for (const auto& config : {flow_config(), SchedulerConfig()}) EXPECT_NE(refusal(config, range, {}).find("max_timestep"), std::string::npos);
}

}  // namespace
}  // namespace sara
