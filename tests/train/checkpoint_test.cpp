// SPDX-License-Identifier: Apache-2.0
#include "sara/train/checkpoint.h"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/manifest.h"
#include "sara/methods/registry.h"
#include "sara/models/initialize.h"
#include "sara/models/unet.h"
#include "tests/data/folder.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kSteps = 20, kReselection = 10;

// Five pictures with a caption each and batches of two: step 5 ends the second epoch, the others but 10, 15 and 20 lie inside one.
TrainingData five_pictures() {
  torch::manual_seed(1);
  TrainingData data;
  data.latents = {torch::randn({5, 4, 4, 4}), torch::full({5, 4, 4, 4}, 0.1), torch::zeros({5, 6}), 5};
  data.text.hidden = torch::randn({6, 3, 12});
  data.text.rows = {{1}, {2}, {3}, {4}, {5}};
  return data;
}

struct Case {
  std::string name, method = "sara";
  std::function<void(MethodOptions&)> how = [](MethodOptions&) {};
  std::function<void(TrainOptions&)> options = [](TrainOptions&) {};
  bool bad_picture = false;  // its steps are skipped
  bool everywhere = false;   // resumed at more places
};

void PrintTo(const Case& which, std::ostream* out) { *out << which.name; }

// One run in the making: a fresh model and method, as a process that has just begun holds them.
struct TinyRun {
  Case which;
  TrainingData data = five_pictures();
  TrainOptions options;
  std::shared_ptr<UNet2DConditionModel> unet = std::make_shared<UNet2DConditionModel>(small_unet(), torch::dtype(torch::kFloat));
  DiffusionObjective objective{NoiseSchedule(SchedulerConfig())};
  std::unique_ptr<Method> method;
  std::unique_ptr<Trainer> trainer;
  std::unique_ptr<Progress> progress;

  TinyRun(Case what, const std::string& log, const RunState* from = nullptr) : which(std::move(what)) {
    options.steps = kSteps;
    options.batch_size = 2;
    options.max_skipped_steps = 30;
    which.options(options);
    if (which.bad_picture) data.latents.mean[2].fill_(std::nan(""));
    initialize_(*unet, 2);
    if (options.precision == "fp16") {
      const torch::NoGradGuard no_grad;
      unet->named_parameters()["conv_out.bias"].fill_(30);  // its gradient overflows until the scale has fallen
      unet->to(torch::kHalf);
    }
    MethodOptions how;
    if (which.method == "sara") how.budget("20%");
    if (which.method == "sara") how.progressive_iter(kReselection).lambda_rank(0.1);
    which.how(how);
    method = make_method(which.method, tensors(), how, kSteps);
    if (from) method->load_state_(from->method);
    progress = std::make_unique<Progress>(log, kSteps, 2, from ? from->progress : ProgressState{});
    trainer = std::make_unique<Trainer>(*unet, *method, objective, data, options, 5, 5e-3);
    if (from) trainer->load_state(from->trainer);
  }
  NamedTensors tensors() const {
    NamedTensors out;
    for (auto& item : unet->named_parameters()) out.emplace_back("unet." + item.key(), item.value());
    return out;
  }
  RunState state() const { return {method->state(), trainer->state(), progress->state()}; }
  // `saves`: steps after which the state goes to `<folder>/step-N`.
  std::vector<TrainingStep> go(const Folder& folder, const std::set<int64_t>& saves = {}) {
    std::vector<TrainingStep> steps;
    trainer->run([&](const TrainingStep& step) {
      steps.push_back(step);
      progress->add(step);
      if (saves.contains(step.step)) write_checkpoint(folder.path(message("step-", step.step)), state(), {{"note", "x"}});
      return true;
    });
    return steps;
  }
};

void expect_same_bits(const torch::Tensor& one, const torch::Tensor& other, const std::string& what) {
  ASSERT_EQ(one.scalar_type(), other.scalar_type()) << what;
  ASSERT_EQ(one.sizes(), other.sizes()) << what;
  const auto bytes = [](const torch::Tensor& tensor) { return tensor.detach().contiguous().view(-1).view(torch::kByte); };
  EXPECT_TRUE(one.numel() == 0 || bytes(one).equal(bytes(other))) << what;
}

void expect_same(const RunState& one, const RunState& other) {
  ASSERT_EQ(one.method.tensors.size(), other.method.tensors.size());
  for (const auto& [name, tensor] : one.method.tensors) expect_same_bits(tensor, other.method.tensor(name), name);
  EXPECT_EQ(one.method.facts, other.method.facts);
  EXPECT_EQ(one.trainer.step, other.trainer.step);
  EXPECT_EQ(one.trainer.skipped, other.trainer.skipped);
  EXPECT_EQ(one.trainer.exhausted, other.trainer.exhausted);
  ASSERT_EQ(one.trainer.loss_scale.has_value(), other.trainer.loss_scale.has_value());
  if (one.trainer.loss_scale) {
    EXPECT_EQ(one.trainer.loss_scale->scale(), other.trainer.loss_scale->scale());
    EXPECT_EQ(one.trainer.loss_scale->good_steps(), other.trainer.loss_scale->good_steps());
  }
  expect_same_bits(torch::tensor(one.progress.losses, torch::kDouble), torch::tensor(other.progress.losses, torch::kDouble), "losses");
  EXPECT_EQ(one.progress.smoothed, other.progress.smoothed);
  EXPECT_EQ(one.progress.weight, other.progress.weight);
  EXPECT_EQ(one.progress.skipped, other.progress.skipped);
  EXPECT_EQ(one.progress.overflowed, other.progress.overflowed);
  EXPECT_EQ(one.progress.loss_scale, other.progress.loss_scale);
}

struct CheckpointTest : testing::TestWithParam<Case> {
  Folder folder;
  CheckpointTest() {
    at::set_num_threads(1);
    set_quiet(true);
  }
  ~CheckpointTest() override { set_quiet(false); }
};

TEST_P(CheckpointTest, TwentyStepsAreSomeStepsAndAResumeAndTheRestBitForBit) {
  // The first step, inside an epoch, its end, before, at and after the reselection, and the last but one.
  std::set<int64_t> places{5, kReselection - 1, kReselection};
  if (GetParam().everywhere) places.merge(std::set<int64_t>{1, 3, kReselection + 1, kSteps - 1});
  TinyRun straight(GetParam(), folder.path("log"));
  const auto steps = straight.go(folder, places);
  ASSERT_EQ(steps.size(), static_cast<size_t>(kSteps));
  straight.method->save(folder.path("straight.safetensors"), {});
  for (const int64_t place : places) {
    SCOPED_TRACE(message("resumed after step ", place));
    verified_manifest(folder.path(message("step-", place)));
    const RunState saved = read_checkpoint(folder.path(message("step-", place)));
    ASSERT_EQ(saved.trainer.step, place);
    TinyRun resumed(GetParam(), folder.path("log"), &saved);
    expect_same(resumed.state(), saved);
    const auto rest = resumed.go(folder);
    ASSERT_EQ(rest.size(), static_cast<size_t>(kSteps - place));
    for (size_t i = 0; i < rest.size(); ++i) {
      const auto& expected = steps[static_cast<size_t>(place) + i];
      EXPECT_EQ(rest[i].step, expected.step);
      EXPECT_EQ(std::isnan(rest[i].loss) ? 0 : rest[i].loss, std::isnan(expected.loss) ? 0 : expected.loss);
      EXPECT_EQ(rest[i].lr, expected.lr);
      EXPECT_EQ(rest[i].samples, expected.samples);
      EXPECT_EQ(rest[i].timesteps, expected.timesteps);
      EXPECT_EQ(rest[i].report.skipped, expected.report.skipped);
      EXPECT_EQ(rest[i].report.active, expected.report.active);
      EXPECT_EQ(rest[i].report.rank_loss, expected.report.rank_loss);
    }
    expect_same(resumed.state(), straight.state());
    const auto ours = resumed.tensors(), theirs = straight.tensors();
    for (size_t i = 0; i < ours.size(); ++i) expect_same_bits(ours[i].second, theirs[i].second, ours[i].first);
    resumed.method->save(folder.path("resumed.safetensors"), {});
    EXPECT_EQ(read_file(folder.path("resumed.safetensors")), read_file(folder.path("straight.safetensors")));
  }
}

// Each case holds what its name says; a test below sees to it.
const Case kCases[] = {
    {.name = "SaraOneMatrixAStep", .everywhere = true},
    {"SaraAllMatricesOfAllLayers", "sara", [](MethodOptions& how) { how.rank_mode("all").rank_layers("all").rank_reduction("sum").decay_to("base"); }},
    {"SaraAveraged", "sara", [](MethodOptions& how) { how.ema_decay = 0.9; }},
    {"SaraEightBitMoments", "sara", [](MethodOptions& how) { how.moments("8bit"); }},
    {"SaraNeverReselected", "sara", [](MethodOptions& how) { how.progressive_iter(0).lambda_rank(0); }},
    {"SaraThreeBatchesAStep", "sara", {}, [](TrainOptions& options) { options.gradient_accumulation_steps = 3; }},
    {"SaraWithSkippedSteps", "sara", {}, [](TrainOptions& options) { options.batch_size = 1; options.caption_dropout = 0.3; options.noise_offset = 0.1; }, true},
    {"SaraInFp16WithALossScale", "sara", [](MethodOptions& how) { how.exclude({"conv_out"}); }, [](TrainOptions& options) { options.precision = "fp16"; }},
    {.name = "Full", .method = "full"},
    {"FullInFp16", "full", [](MethodOptions& how) { how.exclude({"conv_out"}); }, [](TrainOptions& options) { options.precision = "fp16"; }},
};

std::vector<Case> whole_cases() {
  std::vector<Case> out(std::begin(kCases), std::end(kCases));
  for (Case& one : out) {
    if (!one.how) one.how = [](MethodOptions&) {};
    if (!one.options) one.options = [](TrainOptions&) {};
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Runs, CheckpointTest, testing::ValuesIn(whole_cases()), [](const auto& info) { return info.param.name; });

struct CheckpointFolderTest : CheckpointTest {
  Case plain = whole_cases()[0];
};

TEST_F(CheckpointFolderTest, TheCasesReselectSkipAndOverflow) {
  TinyRun straight(plain, folder.path("log"));
  const auto steps = straight.go(folder);
  EXPECT_TRUE(steps[kReselection - 1].report.reselected);
  EXPECT_LT(steps[kReselection - 1].report.active, steps[0].report.active);
  EXPECT_GT(steps[kReselection - 1].report.active, 0);
  EXPECT_GT(steps[0].report.rank_loss, 0);
  TinyRun skipping(whole_cases()[6], folder.path("log2"));
  bool saved_on_a_skip = false;
  for (const auto& step : skipping.go(folder)) saved_on_a_skip |= step.report.skipped && (step.step == 5 || step.step == kReselection - 1);
  EXPECT_TRUE(saved_on_a_skip);
  TinyRun scaled(whole_cases()[7], folder.path("log3"));
  scaled.go(folder);
  EXPECT_GT(scaled.progress->overflowed(), 0);
}

TEST_F(CheckpointFolderTest, HoldsItsFactsAndFiles) {
  TinyRun run(plain, folder.path("log"));
  run.go(folder, {4});
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path("step-4"))) names.insert(entry.path().filename());
  EXPECT_EQ(names, (std::set<std::string>{"manifest.json", "manifest.xxh3", "state.json", "state.safetensors"}));
  const Json manifest = verified_manifest(folder.path("step-4"));
  EXPECT_EQ(manifest["step"], 4);
  EXPECT_EQ(manifest["note"], "x");
  for (const auto& entry : fs::directory_iterator(folder.path())) EXPECT_EQ(entry.path().string().find(".tmp."), std::string::npos);
}

TEST_F(CheckpointFolderTest, IsNotWrittenOverAnother) {
  TinyRun run(plain, folder.path("log"));
  folder.text("step-1/state.json", "old");
  EXPECT_THROW(write_checkpoint(folder.path("step-1"), run.state(), Json::object()), IoError);
  EXPECT_EQ(read_file(folder.path("step-1/state.json")), "old");
}

TEST_F(CheckpointFolderTest, AStateOfAnotherMethodMaskOrPrecisionIsRefusedAndChangesNothing) {
  TinyRun run(plain, folder.path("log"));
  run.go(folder, {4});
  const RunState saved = read_checkpoint(folder.path("step-4"));
  const auto refuses = [&](const Case& other, const std::string& phrase) {
    TinyRun into(other, folder.path("other"));
    std::vector<torch::Tensor> before;
    for (const auto& [name, tensor] : into.tensors()) before.push_back(tensor.detach().clone());
    const auto text = thrown<InvalidArgument>([&] { into.method->load_state_(saved.method); });
    EXPECT_NE(text.find(phrase), std::string::npos) << text;
    const auto after = into.tensors();
    for (size_t i = 0; i < after.size(); ++i) expect_same_bits(after[i].second, before[i], after[i].first);
  };
  refuses(whole_cases()[8], "made by method sara (expected full)");
  Case other = plain;
  other.how = [](MethodOptions& how) { how.budget("10%"); };
  refuses(other, "threshold");
  refuses(whole_cases()[2], "made without averages");
  refuses(whole_cases()[3], "exp_avg does not fit");
  TinyRun half(whole_cases()[7], folder.path("half"));
  EXPECT_NE(thrown<InvalidArgument>([&] { half.trainer->load_state(saved.trainer); }).find("precision"), std::string::npos);
}

TEST_F(CheckpointFolderTest, WhatIsMissingInAFileIsBadFileAndNoCrash) {
  TinyRun run(plain, folder.path("log"));
  run.go(folder, {4});
  const std::string file = folder.path("step-4/state.json");
  const Json numbers = read_json(file);
  for (const char* key : {"version", "trainer", "progress", "method"}) {
    Json less = numbers;
    less.erase(key);
    write_json(file, less);
    EXPECT_THROW(read_checkpoint(folder.path("step-4")), BadFile) << key;
  }
  Json wrong = numbers;
  wrong["trainer"]["step"] = "four";
  write_json(file, wrong);
  EXPECT_THROW(read_checkpoint(folder.path("step-4")), BadFile);
  wrong["trainer"]["step"] = 5;
  write_json(file, wrong);
  EXPECT_THROW(read_checkpoint(folder.path("step-4")), BadFile);
}

TEST_F(CheckpointFolderTest, ARunWithNothingLeftToTrainStaysAtItsEnd) {
  TinyRun run(plain, folder.path("log"));
  RunState state = run.state();
  state.trainer.exhausted = true;
  run.trainer->load_state(state.trainer);
  EXPECT_TRUE(run.go(folder).empty());
}

TEST_F(CheckpointFolderTest, ARunThatHadSkippedTooOftenStillHas) {
  TinyRun run(plain, folder.path("log"));
  RunState state = run.state();
  state.trainer.skipped = 30;
  run.trainer->load_state(state.trainer);
  EXPECT_THROW(run.go(folder), NonFinite);
}

}  // namespace
}  // namespace sara
