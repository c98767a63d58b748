// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/scheduler_config.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"

namespace sara {
namespace {

// As Stable Diffusion 1.x folders ship it.
const char* const kShipped = R"({
  "_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012, "beta_schedule": "scaled_linear",
  "beta_start": 0.00085, "clip_sample": false, "num_train_timesteps": 1000, "set_alpha_to_one": false,
  "skip_prk_steps": true, "steps_offset": 1, "trained_betas": null})";

std::string refusal(const Json& json) {
  try {
    SchedulerConfig::from_json(json, "s.json");
  } catch (const BadFile& error) {
    return error.reason();
  }
  return "";
}

TEST(SchedulerConfig, AMissingKeyTakesTheDefaultOfTheFilesClass) {
  const auto config = SchedulerConfig::from_json(Json::parse(kShipped));
  EXPECT_EQ(config.class_name, "PNDMScheduler");
  EXPECT_EQ(config.beta_start, 0.00085);
  EXPECT_EQ(config.beta_schedule, "scaled_linear");
  EXPECT_EQ(config.steps_offset, 1);
  EXPECT_FALSE(config.clip_sample);
  EXPECT_FALSE(config.trained_betas.has_value());
  EXPECT_EQ(config.timestep_spacing, "leading");
  EXPECT_EQ(config.prediction_type, "epsilon");

  EXPECT_FALSE(SchedulerConfig::defaults("PNDMScheduler").set_alpha_to_one);
  EXPECT_TRUE(SchedulerConfig::defaults("DDIMScheduler").set_alpha_to_one);
  EXPECT_EQ(SchedulerConfig::defaults("EulerDiscreteScheduler").timestep_spacing, "linspace");
  EXPECT_EQ(SchedulerConfig::defaults("DPMSolverMultistepScheduler").timestep_spacing, "linspace");
  EXPECT_EQ(SchedulerConfig::from_json(Json::object()).class_name, "DDPMScheduler");
}

TEST(SchedulerConfig, ForAnotherClassOnlyWhatTheFileSaysStays) {
  const auto shipped = SchedulerConfig::from_json(Json::parse(kShipped));
  const auto euler = shipped.for_class("EulerDiscreteScheduler");
  EXPECT_EQ(euler.timestep_spacing, "linspace");  // PNDM's own default was leading
  EXPECT_EQ(euler.steps_offset, 1);
  EXPECT_EQ(euler.beta_end, 0.012);

  auto spoken = Json::parse(kShipped);
  spoken["timestep_spacing"] = "leading";
  EXPECT_EQ(SchedulerConfig::from_json(spoken).for_class("EulerDiscreteScheduler").timestep_spacing, "leading");

  auto changed = shipped;
  changed.prediction_type = "v_prediction";
  EXPECT_EQ(changed.for_class("DDIMScheduler").prediction_type, "v_prediction");
  EXPECT_THROW(shipped.for_class("NoSuchScheduler"), InvalidArgument);
}

TEST(SchedulerConfig, WritesBackWhatItReadAndTheKeysItDoesNotKnow) {
  const auto json = Json::parse(kShipped);
  const auto written = SchedulerConfig::from_json(json).to_json();
  EXPECT_EQ(nlohmann::json(written), nlohmann::json(json));  // equal but for the order of keys
  auto config = SchedulerConfig::from_json(Json::object());
  EXPECT_EQ(config.to_json().dump(), R"({"_class_name":"DDPMScheduler"})");
  config.steps_offset = 1;
  config.trained_betas = {0.1, 0.2};
  config.num_train_timesteps = 2;
  const auto again = SchedulerConfig::from_json(config.to_json());
  EXPECT_EQ(again.steps_offset, 1);
  EXPECT_EQ(*again.trained_betas, (std::vector<double>{0.1, 0.2}));
}

TEST(SchedulerConfig, InfinityIsWrittenAsAWord) {
  auto json = Json::parse(R"({"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": "-inf"})");
  EXPECT_EQ(SchedulerConfig::from_json(json).to_json(), json);
  json["lambda_min_clipped"] = -5.1;
  EXPECT_EQ(SchedulerConfig::from_json(json).lambda_min_clipped, -5.1);
}

TEST(SchedulerConfig, AWrongValueIsRefusedByItsKey) {
  EXPECT_EQ(refusal({{"beta_schedule", "sigmoid"}}), "wrong beta_schedule (expected one of linear, scaled_linear, squaredcos_cap_v2, got sigmoid)");
  EXPECT_NE(refusal({{"beta_start", "0.1"}}).find("wrong beta_start"), std::string::npos);
  EXPECT_NE(refusal({{"beta_end", 1.5}}).find("got 1.5"), std::string::npos);
  EXPECT_NE(refusal({{"num_train_timesteps", 0}}).find("wrong num_train_timesteps"), std::string::npos);
  EXPECT_NE(refusal({{"num_train_timesteps", 10.5}}).find("wrong kind"), std::string::npos);
  EXPECT_NE(refusal({{"steps_offset", -1}}).find("steps_offset"), std::string::npos);
  EXPECT_NE(refusal({{"prediction_type", "flow_prediction"}}).find("flow_prediction"), std::string::npos);
  EXPECT_NE(refusal({{"timestep_spacing", "even"}}).find("leading, linspace, trailing"), std::string::npos);
  EXPECT_NE(refusal({{"trained_betas", {0.1, 0.2}}}).find("1000 numbers"), std::string::npos);
  EXPECT_NE(refusal({{"_class_name", "FlowMatchHeunDiscreteScheduler"}}).find("got \"FlowMatchHeunDiscreteScheduler\""), std::string::npos);
  EXPECT_NE(refusal(Json::array()).find("expected an object"), std::string::npos);
}

}  // namespace
}  // namespace sara
