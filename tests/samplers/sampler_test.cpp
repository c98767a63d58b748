// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/sampler.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/samplers/ddpm.h"
#include "sara/samplers/flow_match.h"
#include "sara/samplers/registry.h"
#include "tests/samplers/paper_config.h"

namespace sara {
namespace {

template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// What a denoiser answers that knows the picture is 1 and the noise is 1.
double all_knowing(const std::string& prediction, double timestep) {
  if (prediction == "v_prediction") return timestep == 1 ? 0.6 - 0.8 : 0.8 - 0.6;
  return 1;  // epsilon and sample alike
}

// Every sample of a walk from `first` with the all-knowing denoiser.
std::vector<double> walk(Sampler& sampler, int64_t steps, const std::string& prediction, double first) {
  sampler.set_timesteps(steps);
  std::vector<double> values = {first};
  torch::Tensor sample = torch::full({1, 1}, first, torch::kFloat32);
  for (size_t i = 0; i < sampler.timesteps().size(); ++i) {
    sample = sampler.step(torch::full({1, 1}, all_knowing(prediction, sampler.timesteps()[i]), torch::kFloat32), i, sample);
    values.push_back(sample.item<double>());
  }
  return values;
}

void expect_near(const std::vector<double>& got, const std::vector<double>& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 2e-6) << "sample " << i;
}

TEST(Samplers, WithAnAllKnowingDenoiserTheDeterministicOnesStayOnTheExactPath) {
  for (const char* prediction : {"epsilon", "v_prediction", "sample"}) {
    SCOPED_TRACE(prediction);
    expect_near(walk(*make_sampler("ddim", paper_config(prediction)), 2, prediction, 1.4), {1.4, 1.4, 1});
    expect_near(walk(*make_sampler("euler", paper_config(prediction)), 2, prediction, 1 + 4 / 3.0), {1 + 4 / 3.0, 1.75, 1});
    expect_near(walk(*make_sampler("dpm++2m", paper_config(prediction)), 1, prediction, 1.4), {1.4, 1});
  }
}

TEST(Samplers, EulerLivesInSigmaScale) {
  auto config = paper_config();
  config.class_name = "EulerDiscreteScheduler";  // whose default is not the leading spacing: it stays
  const auto euler = make_sampler("euler", config);
  euler->set_timesteps(2);
  EXPECT_NEAR(euler->init_noise_sigma(), std::sqrt(16 / 9.0 + 1), 1e-6);  // leading spacing
  EXPECT_NEAR(euler->scale_model_input(torch::ones({1}), 0).item<double>(), 0.6, 1e-6);
  EXPECT_NEAR(euler->scale_model_input(torch::ones({1}), 1).item<double>(), 0.8, 1e-6);
  config.timestep_spacing = "trailing";
  const auto trailing = make_sampler("euler", config);
  trailing->set_timesteps(2);
  EXPECT_NEAR(trailing->init_noise_sigma(), 4 / 3.0, 1e-6);
  EXPECT_EQ(make_sampler("ddim", paper_config())->init_noise_sigma(), 1.0);
}

TEST(Samplers, DdpmAddsTheGeneratorsNoiseToThePosteriorMeanAndNoneAtTheEnd) {
  const auto ddpm = make_sampler("ddpm", paper_config());
  ddpm->set_timesteps(2);
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5), same = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto one = torch::ones({3, 2}), sample = torch::full({3, 2}, 1.4);
  const auto next = ddpm->step(one, 0, sample, generator);
  const double mean = 0.8 * 0.4375 / 0.64 + 0.75 * 0.36 / 0.64 * 1.4, sigma = std::sqrt(0.36 / 0.64 * 0.4375);
  EXPECT_TRUE(torch::allclose(next, mean + sigma * torch::randn({3, 2}, same), 1e-5, 1e-6));
  EXPECT_TRUE(torch::allclose(ddpm->step(one, 1, sample, generator), one, 1e-5, 1e-6));
}

TEST(Samplers, DdimWithFullEtaHasDdpmsVariance) {
  const auto ddim = make_sampler("ddim", paper_config(), 1.0);
  ddim->set_timesteps(2);
  auto generator = at::make_generator<at::CPUGeneratorImpl>(5), same = at::make_generator<at::CPUGeneratorImpl>(5);
  const double variance = 0.36 / 0.64 * 0.4375;
  const auto next = ddim->step(torch::ones({4}), 0, torch::full({4}, 1.4), generator);
  const auto expected = 0.8 + std::sqrt(0.36 - variance) + std::sqrt(variance) * torch::randn({4}, same);
  EXPECT_TRUE(torch::allclose(next, expected, 1e-5, 1e-6));
}

TEST(Samplers, ClippingHoldsTheImpliedPicture) {
  auto config = paper_config();
  config.clip_sample = true;
  config.clip_sample_range = 0.5;
  expect_near(walk(*make_sampler("ddim", config), 2, "epsilon", 1.4), {1.4, 0.8 * 0.5 + 0.6, 0.5});
}

// Data spread like a normal of deviation c has the exact denoiser e = sqrt(1-a) x / (a c^2 + 1 - a), and the exact walk
// keeps x proportional to sqrt(a c^2 + 1 - a).
double error_against_exact_walk(int64_t order, int64_t steps) {
  constexpr double kSpread = 2;
  SchedulerConfig config;
  config.beta_start = 0.00085, config.beta_end = 0.012, config.beta_schedule = "scaled_linear";
  config.timestep_spacing = "linspace";
  config.final_sigmas_type = "sigma_min";
  config.solver_order = order;
  const auto sampler = make_sampler("dpm++2m", config);
  sampler->set_timesteps(steps);
  const auto left = NoiseSchedule(config).alphas_cumprod().to(torch::kFloat64);
  const auto spread = [&](int64_t t) { return std::sqrt(left[t].item<double>() * (kSpread * kSpread - 1) + 1); };
  const auto first = int64_t(sampler->timesteps().front());
  torch::Tensor sample = torch::full({1}, spread(first), torch::kFloat64);
  for (size_t i = 0; i < sampler->timesteps().size(); ++i) {
    const auto t = int64_t(sampler->timesteps()[i]);
    sample = sampler->step(sample * std::sqrt(1 - left[t].item<double>()) / (spread(t) * spread(t)), i, sample);
  }
  return std::abs(sample.item<double>() - spread(0));
}

TEST(Samplers, HalvingTheStepsOfDpmSolverDoublesOrQuadruplesItsErrorByOrder) {
  const double first = error_against_exact_walk(1, 40) / error_against_exact_walk(1, 80);
  const double second = error_against_exact_walk(2, 40) / error_against_exact_walk(2, 80);
  EXPECT_GT(first, 1.6);
  EXPECT_LT(first, 2.4);
  EXPECT_GT(second, 3.0);
  EXPECT_LT(second, 5.5);
  EXPECT_LT(error_against_exact_walk(2, 40), error_against_exact_walk(1, 40));
}

TEST(Samplers, ANewWalkForgetsTheOldOne) {
  SchedulerConfig config;
  const auto noise = torch::randn({1, 8});
  const auto sampler = make_sampler("dpm++2m", config);
  const auto walk_once = [&] {
    sampler->set_timesteps(6);
    torch::Tensor sample = noise;
    for (size_t i = 0; i < 6; ++i) sample = sampler->step(sample.tanh(), i, sample);
    return sample;
  };
  EXPECT_TRUE(torch::equal(walk_once(), walk_once()));
}

TEST(Samplers, ResultsHaveTheModelOutputsKind) {
  for (const std::string& name : sampler_names()) {
    const auto sampler = make_sampler(name, name == "flow_match" ? SchedulerConfig::defaults("FlowMatchEulerDiscreteScheduler") : SchedulerConfig());
    sampler->set_timesteps(4);
    const auto sample = torch::randn({1, 4}).to(torch::kBFloat16);
    EXPECT_EQ(sampler->step(sample, 0, sample).scalar_type(), torch::kBFloat16) << name;
  }
}

TEST(Samplers, AreFoundByTheirOwnAndByDiffusersNames) {
  EXPECT_EQ(sampler_names(), (std::vector<std::string>{"ddpm", "ddim", "euler", "euler_ancestral", "pndm", "flow_match", "dpm++2m"}));
  for (const char* name : {"DDPMScheduler", "DDIMScheduler", "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler"})
    EXPECT_NE(make_sampler(name, SchedulerConfig()), nullptr);
  EXPECT_EQ(refusal([] { make_sampler("heun", SchedulerConfig()); }).find("sampler heun is unknown (expected one of ddpm, ddim, euler, euler_ancestral, pndm, flow_match, dpm++2m)"),
            0u);
  EXPECT_NE(refusal([] { make_sampler("eular", SchedulerConfig()); }).find("did you mean euler?"), std::string::npos);
}

TEST(Samplers, WrongRequestsAreRefused) {
  const auto ddim = make_sampler("ddim", SchedulerConfig());
  const auto x = torch::zeros({1, 4});
  EXPECT_NE(refusal([&] { ddim->set_timesteps(0); }).find("wrong number of sampling steps (expected 1 to 1000, got 0)"), std::string::npos);
  EXPECT_NE(refusal([&] { ddim->step(x, 0, x); }).find("call set_timesteps first"), std::string::npos);
  ddim->set_timesteps(2);
  EXPECT_NE(refusal([&] { ddim->step(x, 2, x); }).find("no sampling step 2"), std::string::npos);
  EXPECT_NE(refusal([&] { ddim->step(torch::zeros({1, 3}), 0, x); }).find("another shape"), std::string::npos);
  EXPECT_NE(refusal([] { make_sampler("euler", SchedulerConfig(), 0.5); }).find("has no eta"), std::string::npos);
  EXPECT_NE(refusal([] { make_sampler("ddim", SchedulerConfig(), 1.5); }).find("wrong eta"), std::string::npos);
  const auto solver = make_sampler("dpm++2m", SchedulerConfig());
  solver->set_timesteps(3);
  EXPECT_NE(refusal([&] { solver->step(x, 1, x); }).find("expected step 0, got 1"), std::string::npos);
  const auto pndm = make_sampler("pndm", SchedulerConfig());
  EXPECT_NE(refusal([&] { pndm->set_timesteps(3); }).find("at least 4 steps"), std::string::npos);
  pndm->set_timesteps(4);
  EXPECT_NE(refusal([&] { pndm->step(x, 1, x); }).find("expected step 0, got 1"), std::string::npos);
  EXPECT_NE(refusal([&] { solver->set_timesteps(1000); }).find("too many for dpm++2m"), std::string::npos);
  EXPECT_NE(refusal([] { make_sampler("euler", SchedulerConfig())->init_noise_sigma(); }).find("call set_timesteps first"), std::string::npos);
}

TEST(Samplers, SettingsTheyDoNotHaveAreRefusedByName) {
  const auto with = [](const char* sampler, const char* key, const Json& value) {
    return refusal([&] { make_sampler(sampler, SchedulerConfig::from_json({{key, value}})); });
  };
  EXPECT_NE(with("ddim", "thresholding", true).find("thresholding"), std::string::npos);
  EXPECT_NE(with("euler", "use_beta_sigmas", true).find("use_beta_sigmas"), std::string::npos);
  EXPECT_NE(with("euler", "timestep_type", "continuous").find("continuous"), std::string::npos);
  EXPECT_NE(with("euler", "interpolation_type", "cubic").find("cubic"), std::string::npos);
  EXPECT_NE(with("ddpm", "variance_type", "learned").find("learned"), std::string::npos);
  EXPECT_NE(with("dpm++2m", "solver_order", 3).find("solver_order 3"), std::string::npos);
  EXPECT_NE(with("dpm++2m", "algorithm_type", "sde-dpmsolver++").find("sde-dpmsolver++"), std::string::npos);
  EXPECT_NE(with("dpm++2m", "solver_type", "trapezoid").find("trapezoid"), std::string::npos);
  EXPECT_NE(with("pndm", "prediction_type", "sample").find("prediction_type sample"), std::string::npos);
  EXPECT_NE(with("pndm", "rescale_betas_zero_snr", true).find("zero SNR"), std::string::npos);
  const auto flow = [](const char* sampler, const Json& more) {
    Json json = {{"_class_name", "FlowMatchEulerDiscreteScheduler"}};
    json.update(more);
    return refusal([&] { make_sampler(sampler, SchedulerConfig::from_json(json)); });
  };
  EXPECT_EQ(flow("flow_match", {{"shift", 3.0}}), "");
  EXPECT_NE(flow("flow_match", {{"use_dynamic_shifting", true}}).find("use_dynamic_shifting"), std::string::npos);
  EXPECT_NE(flow("flow_match", {{"shift_terminal", 0.1}}).find("shift_terminal"), std::string::npos);
  EXPECT_NE(flow("euler", Json::object()).find("Fix: use --sampler flow_match"), std::string::npos);
  EXPECT_NE(refusal([] { make_sampler("flow_match", SchedulerConfig()); }).find("for flow-matching models"), std::string::npos);
  EXPECT_EQ(with("ddim", "variance_type", "learned"), "");  // DDIM has no use for it
}

TEST(Samplers, FlowMatchingWithAConstantVelocityGoesStraightFromNoiseToPicture) {
  auto config = SchedulerConfig::defaults("FlowMatchEulerDiscreteScheduler");
  config.shift = 3;
  const auto sampler = make_sampler("flow_match", config);
  sampler->set_timesteps(7);
  EXPECT_EQ(sampler->timesteps().front(), 1000);
  EXPECT_EQ(sampler->init_noise_sigma(), 1);
  const auto picture = torch::tensor({1.0f, -2.0f}), noise = torch::tensor({0.5f, 4.0f});
  auto sample = noise;
  for (size_t i = 0; i < 7; ++i) sample = sampler->step(noise - picture, i, sample);
  EXPECT_TRUE(sample.allclose(picture, 0, 1e-5));
}

TEST(Samplers, ShiftRaisesTheLevelsOfFlowMatching) {
  auto config = SchedulerConfig::defaults("FlowMatchEulerDiscreteScheduler");
  config.num_train_timesteps = 4;
  EXPECT_EQ(flow_sigmas(config), (std::vector<float>{1.0f, 0.75f, 0.5f, 0.25f}));
  config.shift = 3;
  const auto shifted = flow_sigmas(config);
  EXPECT_FLOAT_EQ(shifted[1], 0.9f);
  EXPECT_FLOAT_EQ(shifted[3], 0.5f);
}

TEST(Samplers, PureNoiseAndNoisePredictionDoNotGoTogether) {
  auto config = SchedulerConfig();
  config.rescale_betas_zero_snr = true;
  config.timestep_spacing = "trailing";
  for (const char* name : {"ddpm", "ddim"}) {
    const auto sampler = make_sampler(name, config);
    sampler->set_timesteps(2);
    EXPECT_NE(refusal([&] { sampler->step(torch::zeros({1}), 0, torch::zeros({1})); }).find("zero signal"), std::string::npos);
  }
}

}  // namespace
}  // namespace sara
