// SPDX-License-Identifier: Apache-2.0
#include "sara/train/trainer.h"

#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>
#include <set>

#include "sara/base/error.h"
#include "sara/base/random.h"
#include "sara/methods/registry.h"
#include "sara/models/initialize.h"
#include "sara/models/unet.h"
#include "sara/train/loss.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

constexpr uint64_t kSeed = 5;

// Four pictures, each with its own caption; row 0 of the text is the empty caption.
TrainingData four_pictures() {
  torch::manual_seed(1);
  TrainingData data;
  data.latents = {torch::randn({4, 4, 4, 4}), torch::full({4, 4, 4, 4}, 0.1), torch::zeros({4, 6}), 4};
  data.text.hidden = torch::randn({5, 3, 12});
  data.text.rows = {{1}, {2}, {3}, {4}};
  data.scaling_factor = 0.5;
  data.shift_factor = 0.25;
  return data;
}

// Keeps the gradient of every step and moves nothing.
struct Recorder : Method {
  explicit Recorder(UNet2DConditionModel& unet) : weights(unet.parameters()) {
    for (auto& weight : weights) weight.set_requires_grad(true);
  }
  std::string name() const override { return "recorder"; }
  int64_t trained() const override { return 0; }
  double default_lr() const override { return 1; }
  std::vector<torch::Tensor> gradients() override {
    std::vector<torch::Tensor> out;
    for (auto& weight : weights) out.push_back(weight.grad());
    return out;
  }
  std::string fingerprint() const override { return {}; }
  void scale_gradient_(double by) override { factor = by; }
  StepReport step(int64_t, double) override {
    seen.clear();
    double sum = 0;
    for (auto& weight : weights) {
      seen.push_back(weight.grad().to(torch::kFloat) * factor);
      sum += weight.grad().to(torch::kDouble).square().sum().item<double>();
      weight.mutable_grad().reset();
    }
    StepReport report;
    report.grad_norm = std::sqrt(sum);
    report.skipped = !std::isfinite(sum);
    return report;
  }
  void save(const std::string&, const std::map<std::string, std::string>&) const override {}
  Json summary() const override { return {}; }
  MethodState state() const override { return {}; }
  void load_state_(const MethodState&) override {}
  std::vector<torch::Tensor> weights, seen;  // seen: gradients of the last step
  double factor = 1;
};

struct TrainerTest : testing::Test {
  TrainingData data = four_pictures();
  TrainOptions options;
  SchedulerConfig config;
  std::shared_ptr<UNet2DConditionModel> unet = fresh();

  TrainerTest() { at::set_num_threads(1); }
  static std::shared_ptr<UNet2DConditionModel> fresh() {
    auto made = std::make_shared<UNet2DConditionModel>(small_unet(), torch::dtype(torch::kFloat));
    initialize_(*made, 2);
    return made;
  }
  std::vector<TrainingStep> train(Method& method, double lr = 1e-3) {
    std::vector<TrainingStep> steps;
    const DiffusionObjective objective(NoiseSchedule(config), options.snr_gamma);
    Trainer(*unet, method, objective, data, options, kSeed, lr).run([&](const TrainingStep& step) {
      steps.push_back(step);
      return true;
    });
    return steps;
  }
  NamedTensors tensors() const {
    NamedTensors out;
    for (auto& item : unet->named_parameters()) out.emplace_back("unet." + item.key(), item.value());
    return out;
  }
  std::vector<torch::Tensor> copies() const {
    std::vector<torch::Tensor> out;
    for (const auto& weight : unet->parameters()) out.push_back(weight.detach().clone());
    return out;
  }
  // The loss of one micro-batch, by the documented keys, written once more.
  torch::Tensor loss_by_hand(int64_t step, int64_t part) const {
    const BatchOrder order(4, options.batch_size, kSeed);
    std::vector<torch::Tensor> means, contexts;
    const auto batch = order.batch((step - 1) * options.gradient_accumulation_steps + part);
    const auto draws = draw_noise({options.batch_size, 4, 4, 4}, options.min_timestep, options.max_timestep.value_or(1000), options.noise_offset,
                                  options.caption_dropout, stream_key(kSeed, "noise", step, part));
    for (size_t i = 0; i < batch.size(); ++i) {
      means.push_back(data.latents.mean[batch[i]]);
      contexts.push_back(data.text.hidden[draws.dropped[i].item<bool>() ? 0 : batch[i] + 1]);
    }
    const auto latents = (torch::stack(means) + 0.1 * draws.posterior_noise - 0.25) * 0.5;
    const NoiseSchedule schedule(config);
    const auto alpha = schedule.alphas_cumprod().index_select(0, draws.timesteps).view({-1, 1, 1, 1});
    const auto noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * draws.noise;
    return (unet->forward(noisy, draws.timesteps, torch::stack(contexts)) - draws.noise).square().mean();
  }
};

TEST_F(TrainerTest, TheGradientOfABatchIsThatOfTheLossOnPaper) {
  options.steps = 1;
  options.batch_size = 3;
  options.caption_dropout = 0.5;
  options.noise_offset = 0.1;
  Recorder recorder(*unet);
  const auto steps = train(recorder);
  const auto loss = loss_by_hand(1, 0);
  EXPECT_NEAR(steps[0].loss, loss.item<double>(), 1e-5);
  const auto expected = torch::autograd::grad({loss}, recorder.weights);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(torch::allclose(recorder.seen[i], expected[i], 1e-3, 1e-6)) << i;
}

TEST_F(TrainerTest, ClassPicturesGoBesideTheSubjectsAndTheirLossIsWeighted) {
  options.steps = 3;
  options.batch_size = 2;
  data.classes = {1, 0.25};  // the last picture
  Recorder recorder(*unet);
  const auto steps = train(recorder);
  const BatchOrder order(3, 2, kSeed);
  std::set<int64_t> seen;
  for (const auto& step : steps) {
    const auto own = order.batch(step.step - 1);
    EXPECT_EQ(step.samples, (std::vector<int64_t>{own[0], own[1], 3, 3}));
    seen.insert(own.begin(), own.end());
    const auto draws = draw_noise({4, 4, 4, 4}, 0, 1000, 0, 0, stream_key(kSeed, "noise", step.step, 0));
    std::vector<torch::Tensor> means, contexts;
    for (const int64_t sample : step.samples) {
      means.push_back(data.latents.mean[sample]);
      contexts.push_back(data.text.hidden[sample + 1]);
    }
    const auto latents = (torch::stack(means) + 0.1 * draws.posterior_noise - 0.25) * 0.5;
    const NoiseSchedule schedule(config);
    const auto alpha = schedule.alphas_cumprod().index_select(0, draws.timesteps).view({-1, 1, 1, 1});
    const auto answer = unet->forward(alpha.sqrt() * latents + (1 - alpha).sqrt() * draws.noise, draws.timesteps, torch::stack(contexts));
    const auto errors = (answer - draws.noise).square().mean({1, 2, 3});
    const auto of_class = (errors[2] + errors[3]) / 2, loss = (errors[0] + errors[1]) / 2 + 0.25 * of_class;
    EXPECT_NEAR(step.loss, loss.item<double>(), 1e-5);
    EXPECT_NEAR(*step.class_loss, of_class.item<double>(), 1e-5);
    if (step.step < options.steps) continue;
    const auto expected = torch::autograd::grad({loss}, recorder.weights);
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(torch::allclose(recorder.seen[i], expected[i], 1e-3, 1e-6)) << i;
  }
  EXPECT_EQ(seen, (std::set<int64_t>{0, 1, 2}));
}

TEST_F(TrainerTest, TwoAccumulatedBatchesOfOneAreTheMeanOfBoth) {
  options.steps = 2;
  options.batch_size = 1;
  options.gradient_accumulation_steps = 2;
  Recorder recorder(*unet);
  const auto steps = train(recorder);
  const auto loss = (loss_by_hand(2, 0) + loss_by_hand(2, 1)) / 2;
  EXPECT_NEAR(steps[1].loss, loss.item<double>(), 1e-5);
  const auto expected = torch::autograd::grad({loss}, recorder.weights);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(torch::allclose(recorder.seen[i], expected[i], 1e-3, 1e-6)) << i;
}

TEST_F(TrainerTest, TrainsTheTimestepsOfTheRangeAlone) {
  options.steps = 3;
  options.min_timestep = 100;
  options.max_timestep = 110;
  Recorder recorder(*unet);
  const auto steps = train(recorder);
  EXPECT_NEAR(steps[2].loss, loss_by_hand(3, 0).item<double>(), 1e-5);
  for (const auto& step : steps)
    for (const int64_t timestep : step.timesteps) EXPECT_TRUE(timestep >= 100 && timestep < 110) << timestep;
  options.max_timestep = 1001;
  EXPECT_THROW(train(recorder), InvalidArgument);
  options.max_timestep = 100;
  EXPECT_THROW(train(recorder), InvalidArgument);
}

TEST_F(TrainerTest, TheLossGoesDown) {
  options.steps = 60;
  options.lr_scheduler = "constant";
  const auto full = make_method("full", tensors(), {}, options.steps);
  const auto steps = train(*full, 3e-3);
  const auto mean = [&](size_t first) {
    double sum = 0;
    for (size_t i = first; i < first + 15; ++i) sum += steps[i].loss;
    return sum / 15;
  };
  ASSERT_EQ(steps.size(), 60u);
  EXPECT_LT(mean(45), 0.8 * mean(0));
}

TEST_F(TrainerTest, TheSameSeedGivesTheSameBits) {
  options.steps = 4;
  const auto run = [&] {
    unet = fresh();
    MethodOptions how;
    how.budget("20%");
    const auto sara = make_method("sara", tensors(), how, options.steps);
    train(*sara);
    return copies();
  };
  const auto first = run(), second = run();
  bool moved = false;
  unet = fresh();
  const auto base = copies();
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_TRUE(first[i].equal(second[i]));
    moved |= !first[i].equal(base[i]);
  }
  EXPECT_TRUE(moved);
}

TEST_F(TrainerTest, TheRateFollowsItsCurveAndStepsAreCounted) {
  options.steps = 4;
  options.lr_scheduler = "linear";
  Recorder recorder(*unet);
  const auto steps = train(recorder, 1.0);
  for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(steps[i].step, i + 1);
  for (int64_t i = 1; i < 4; ++i) EXPECT_LT(steps[i].lr, steps[i - 1].lr);
}

TEST_F(TrainerTest, ANonFinitePictureIsSkippedAndChangesNoWeight) {
  options.steps = 6;
  options.batch_size = 1;
  data.latents.mean[2].fill_(std::nan(""));
  const auto full = make_method("full", tensors(), {}, options.steps);
  int64_t skipped = 0;
  auto before = copies();
  const DiffusionObjective objective{NoiseSchedule(config)};
  Trainer(*unet, *full, objective, data, options, kSeed, 1e-3).run([&](const TrainingStep& step) {
    const auto now = copies();
    EXPECT_EQ(now[0].equal(before[0]), step.report.skipped) << step.step;
    for (const auto& weight : now) EXPECT_TRUE(weight.isfinite().all().item<bool>());
    before = now;
    skipped += step.report.skipped;
    return true;
  });
  EXPECT_GE(skipped, 1);
  EXPECT_LE(skipped, 2);  // six draws from four pictures
}

TEST_F(TrainerTest, TooManySkippedStepsInARowStopTheRun) {
  options.steps = 20;
  options.max_skipped_steps = 3;
  data.latents.mean.fill_(std::nan(""));
  const auto full = make_method("full", tensors(), {}, options.steps);
  const auto before = copies();
  int64_t seen = 0;
  const DiffusionObjective objective{NoiseSchedule(config)};
  Trainer trainer(*unet, *full, objective, data, options, kSeed, 1e-3);
  try {
    trainer.run([&](const TrainingStep&) { return ++seen > 0; });
    ADD_FAILURE();
  } catch (const NonFinite& error) {
    EXPECT_NE(std::string(error.what()).find("3 steps in a row skipped, the last one 3"), std::string::npos) << error.what();
  }
  EXPECT_EQ(seen, 3);
  const auto after = copies();
  for (size_t i = 0; i < after.size(); ++i) EXPECT_TRUE(after[i].equal(before[i]));
}

TEST_F(TrainerTest, AnInfiniteLossWithAFiniteGradientIsSkippedToo) {
  options.steps = 1;
  const torch::NoGradGuard no_grad;
  unet->named_parameters()["conv_out.bias"].fill_(1e20);  // its square is beyond fp32, the gradient is not
  const torch::AutoGradMode grad(true);
  Recorder recorder(*unet);
  const auto by_hand = torch::autograd::grad({loss_by_hand(1, 0)}, recorder.weights);
  for (const auto& gradient : by_hand) ASSERT_TRUE(gradient.isfinite().all().item<bool>());
  const auto steps = train(recorder);
  EXPECT_TRUE(std::isinf(steps[0].loss));
  EXPECT_TRUE(steps[0].report.skipped);
}

TEST_F(TrainerTest, InFp16TheLossIsScaledAndTheMethodGetsTheGradientOfTheLossItself) {
  options.steps = 1;
  Recorder full(*unet);
  train(full);
  unet = fresh();
  unet->to(torch::kHalf);
  options.precision = "fp16";
  Recorder half(*unet);
  const auto steps = train(half);
  EXPECT_EQ(steps[0].loss_scale, 65536);
  EXPECT_EQ(half.factor, 1 / 65536.0);
  EXPECT_FALSE(steps[0].report.skipped);
  double dot = 0, ours = 0, theirs = 0;
  for (size_t i = 0; i < full.seen.size(); ++i) {
    dot += (half.seen[i] * full.seen[i]).sum().item<double>();
    ours += half.seen[i].square().sum().item<double>();
    theirs += full.seen[i].square().sum().item<double>();
  }
  EXPECT_GT(dot / std::sqrt(ours * theirs), 0.999);
  EXPECT_NEAR(std::sqrt(ours / theirs), 1, 0.02);
}

TEST_F(TrainerTest, AnOverflowInFp16LowersTheScaleAndIsNotCountedAsNonFinite) {
  {
    const torch::NoGradGuard no_grad;
    unet->named_parameters()["conv_out.bias"].fill_(30);  // its gradient is 15, which 65536 times overflows
  }
  unet->to(torch::kHalf);
  options.precision = "fp16";
  options.steps = 8;
  options.max_skipped_steps = 2;
  Recorder recorder(*unet);
  const auto steps = train(recorder);
  ASSERT_EQ(steps.size(), 8u);
  double scale = 65536;
  int64_t overflowed = 0;
  for (const auto& step : steps) {
    EXPECT_EQ(step.loss_scale, scale);
    EXPECT_EQ(step.overflowed, step.report.skipped);
    if (step.overflowed) scale /= 2;
    overflowed += step.overflowed;
  }
  EXPECT_GE(overflowed, 4);
  EXPECT_FALSE(steps.back().overflowed);
}

TEST_F(TrainerTest, ALossThatIsNotFiniteStopsAnFp16RunWhateverTheScale) {
  unet->to(torch::kHalf);
  options.precision = "fp16";
  options.steps = 20;
  options.max_skipped_steps = 3;
  data.latents.mean.fill_(std::nan(""));
  Recorder recorder(*unet);
  EXPECT_THROW(train(recorder), NonFinite);
}

TEST_F(TrainerTest, StopsEarlyWhenAsked) {
  options.steps = 10;
  Recorder recorder(*unet);
  int64_t seen = 0;
  const DiffusionObjective objective{NoiseSchedule(config)};
  Trainer(*unet, recorder, objective, data, options, kSeed, 1e-3).run([&](const TrainingStep&) { return ++seen < 2; });
  EXPECT_EQ(seen, 2);
  EXPECT_FALSE(unet->is_training());
}

}  // namespace
}  // namespace sara
