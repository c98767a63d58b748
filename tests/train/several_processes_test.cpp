// SPDX-License-Identifier: Apache-2.0
#include "sara/train/several_processes.h"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/methods/registry.h"
#include "sara/models/initialize.h"
#include "sara/models/unet.h"
#include "tests/support/ranks.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

constexpr int64_t kSteps = 4, kSwitch = 2;
constexpr double kLr = 2e-3;

TrainingData five_pictures() {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(1);
  TrainingData data;
  data.latents = {torch::randn({5, 4, 4, 4}, generator), torch::full({5, 4, 4, 4}, 0.1), torch::zeros({5, 6}), 5};
  data.text.hidden = torch::randn({6, 3, 12}, generator);
  data.text.rows = {{1}, {2}, {3}, {4}, {5}};
  data.scaling_factor = 0.5;
  return data;
}

// What one process has after a run.
struct Outcome {
  std::vector<TrainingStep> steps;
  std::vector<std::string> fingerprints;  // at the start and after each step
  MethodState state;
};

struct Setting {
  std::string method = "sara", precision = "fp32";
  bool flow = false;
  int64_t parts = 1;
  std::optional<int64_t> bad_picture = {};
};

Outcome train(const Setting& setting, int64_t batch_size, ProcessGroup* group) {
  at::set_num_threads(1);
  TrainingData data = five_pictures();
  if (setting.bad_picture) data.latents.mean[*setting.bad_picture].fill_(std::nan(""));
  TrainOptions options;
  options.steps = kSteps;
  options.batch_size = batch_size;
  options.gradient_accumulation_steps = setting.parts;
  options.caption_dropout = 0.3;
  options.noise_offset = 0.1;
  options.precision = setting.precision;
  options.lr_scheduler = "constant";
  UNet2DConditionModel unet(small_unet(), torch::dtype(torch::kFloat));
  initialize_(unet, 2);
  if (setting.precision == "fp16") unet.to(torch::kHalf);
  NamedTensors tensors;
  for (auto& item : unet.named_parameters()) tensors.emplace_back("unet." + item.key(), item.value());
  MethodOptions how;
  how.eps(1e-4);  // so that a gradient of nearly nothing is not blown up to a whole step
  if (setting.method == "sara") {
    how.threshold(0.02).force(true).progressive_iter(kSwitch);
    how.ema_decay = 0.9;
  }
  SchedulerConfig config;
  std::unique_ptr<Objective> objective = std::make_unique<DiffusionObjective>(NoiseSchedule(config));
  if (setting.flow) {
    config.class_name = "FlowMatchEulerDiscreteScheduler";
    objective = std::make_unique<FlowObjective>(config, FlowOptions{}, std::pair<int64_t, int64_t>{0, 1000});
  }
  const auto method = make_method(setting.method, tensors, how, kSteps);
  Outcome out;
  out.fingerprints.push_back(method->fingerprint());
  Trainer(unet, *method, *objective, data, options, 5, kLr, group).run([&](const TrainingStep& step) {
    out.steps.push_back(step);
    out.fingerprints.push_back(method->fingerprint());
    return true;
  });
  out.state = method->state();
  return out;
}

std::vector<Outcome> train_in_two(const Setting& setting) {
  std::vector<Outcome> out(2);
  const auto thrown = run_ranks(2, [&](ProcessGroup& group) { out[static_cast<size_t>(group.rank())] = train(setting, 1, &group); });
  EXPECT_EQ(thrown, std::vector<std::string>(2));
  return out;
}

// 2 processes x batch 1 = 1 process x batch 2: draws exactly, weights and moments to what another order of additions leaves.
void expect_two_are_one(const Setting& setting, double tolerance) {
  const Outcome one = train(setting, 2, nullptr);
  const auto two = train_in_two(setting);
  EXPECT_EQ(two[0].fingerprints, two[1].fingerprints);  // mask and values, before and after the switch, bit for bit
  for (size_t i = 0; i < one.steps.size(); ++i) {
    EXPECT_EQ(two[0].steps[i].samples, one.steps[i].samples);
    EXPECT_EQ(two[0].steps[i].timesteps, one.steps[i].timesteps);
    EXPECT_NEAR(two[0].steps[i].loss, one.steps[i].loss, tolerance * std::abs(one.steps[i].loss));
    EXPECT_NEAR(two[0].steps[i].report.grad_norm, one.steps[i].report.grad_norm, tolerance * one.steps[i].report.grad_norm);
    EXPECT_EQ(two[0].steps[i].report.active, one.steps[i].report.active);
    EXPECT_EQ(two[0].steps[i].loss, two[1].steps[i].loss);
  }
  ASSERT_EQ(two[0].state.tensors.size(), one.state.tensors.size());
  for (const auto& [name, expected] : one.state.tensors) {
    const auto found = two[0].state.tensors.at(name).to(torch::kDouble), wanted = expected.to(torch::kDouble);
    ASSERT_EQ(found.sizes(), wanted.sizes()) << name;
    const bool moment = name.find("exp_avg") != std::string::npos;
    if (wanted.numel() == 0) continue;
    EXPECT_LE((found - wanted).abs().max().item<double>(), moment ? tolerance * wanted.abs().max().item<double>() : 1e-3 * kLr) << name;
  }
}

TEST(SeveralProcesses, TwoOfBatchOneAreOneOfBatchTwoForSara) {
  expect_two_are_one({}, 2e-5);
  expect_two_are_one({.parts = 3}, 2e-5);
}

TEST(SeveralProcesses, TwoOfBatchOneAreOneOfBatchTwoForFullFineTuning) { expect_two_are_one({.method = "full", .parts = 2}, 2e-5); }

TEST(SeveralProcesses, FlowMatchingDrawsTheSameNoiseLevels) { expect_two_are_one({.flow = true}, 2e-5); }

TEST(SeveralProcesses, TheSwitchKeepsSomeAndDropsSome) {  // or the tests above would say little
  const Outcome one = train({}, 2, nullptr);
  EXPECT_TRUE(one.steps[kSwitch - 1].report.reselected);
  EXPECT_GT(one.steps[kSwitch].report.active, 0);
  EXPECT_LT(one.steps[kSwitch].report.active, one.steps[0].report.active);
}

TEST(SeveralProcesses, ANonFiniteLossOnOneRankIsSkippedByBoth) {
  const auto two = train_in_two({.bad_picture = 1});
  int64_t skipped = 0;
  for (size_t i = 0; i < kSteps; ++i) {
    EXPECT_EQ(two[0].steps[i].report.skipped, two[1].steps[i].report.skipped);
    EXPECT_EQ(two[0].steps[i].report.skipped, std::isnan(two[0].steps[i].loss));
    skipped += two[0].steps[i].report.skipped;
  }
  EXPECT_GE(skipped, 1);
  EXPECT_LT(skipped, kSteps);
  EXPECT_EQ(two[0].fingerprints, two[1].fingerprints);
}

TEST(SeveralProcesses, InFp16TheLossScaleIsTheSameOnBoth) {
  const auto two = train_in_two({.precision = "fp16", .bad_picture = 1});
  for (size_t i = 0; i < kSteps; ++i) EXPECT_EQ(two[0].steps[i].loss_scale, two[1].steps[i].loss_scale);
  EXPECT_EQ(two[0].fingerprints, two[1].fingerprints);
}

TEST(SeveralProcesses, AnotherMaskOnOneRankIsNamedBeforeTheFirstStep) {
  const auto thrown = run_ranks(2, [](ProcessGroup& group) {
    const auto weight = torch::arange(16, torch::kFloat).view({4, 4}).div(100).set_requires_grad(true);
    MethodOptions how;
    how.threshold(group.rank() == 1 ? 0.05 : 0.06).lr(1e-3).lambda_rank(0);
    require_same_weights(group, *make_method("sara", {{"unet.weight", weight}}, how, 2), "at the start");
  });
  for (const auto& text : thrown) EXPECT_EQ(text.find("rank 1: what is trained (positions and values, at the start) differs from rank 0. Fix: "), 0U) << text;
}

TEST(SeveralProcesses, WhatRankZeroEncodedComesToAll) {
  const auto thrown = run_ranks(2, [](ProcessGroup& group) {
    TrainingData data;
    if (group.is_first()) {
      data = five_pictures();
      data.latents.key = "latents";
      data.text.pooled = torch::Tensor();
    }
    share_encoded_(data, group);
    EXPECT_TRUE(data.latents.mean.equal(five_pictures().latents.mean));
    EXPECT_TRUE(data.text.hidden.equal(five_pictures().text.hidden));
    EXPECT_EQ(data.text.rows, five_pictures().text.rows);
    EXPECT_EQ(data.latents.samples, 5);
    EXPECT_EQ(data.latents.key, "latents");
    EXPECT_FALSE(data.text.pooled.defined());
  });
  EXPECT_EQ(thrown, std::vector<std::string>(2));
}

}  // namespace
}  // namespace sara
