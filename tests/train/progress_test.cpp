// SPDX-License-Identifier: Apache-2.0
#include "sara/train/progress.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/json.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

TrainingStep step_of(int64_t number, double loss, double seconds) {
  TrainingStep step;
  step.step = number;
  step.loss = loss;
  step.lr = 0.25;
  step.seconds = seconds;
  step.report.grad_norm = 2;
  step.report.active = 11;
  step.report.skipped = !std::isfinite(loss);
  return step;
}

struct ProgressTest : testing::Test {
  Folder folder;
  ProgressTest() { set_quiet(true); }
  ~ProgressTest() override { set_quiet(false); }
};

TEST_F(ProgressTest, EveryStepIsOneLineOfJson) {
  Progress progress(folder.path("metrics.jsonl"), 2, 4);
  progress.add(step_of(1, 0.5, 1));
  progress.add(step_of(2, std::nan(""), 1));
  std::istringstream lines(read_file(folder.path("metrics.jsonl")));  // while the run goes on
  std::vector<Json> entries;
  for (std::string line; std::getline(lines, line);) entries.push_back(parse_json(line, "metrics"));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0]["step"], 1);
  EXPECT_EQ(entries[0]["loss"], 0.5);
  EXPECT_EQ(entries[0]["lr"], 0.25);
  EXPECT_EQ(entries[0]["grad_norm"], 2.0);
  EXPECT_EQ(entries[0]["active"], 11);
  EXPECT_EQ(entries[0]["skipped"], false);
  EXPECT_GT(entries[0]["memory_gb"].get<double>(), 0);
  EXPECT_TRUE(entries[1]["loss"].is_null());
  EXPECT_EQ(entries[1]["skipped"], true);
}

TEST_F(ProgressTest, TheMedianLeavesOutTheFirstThreeSteps) {
  Progress progress(folder.path("m"), 9, 1);
  EXPECT_EQ(progress.median_seconds(), 0);
  for (const double seconds : {50, 60, 70}) progress.add(step_of(1, 1, seconds));
  EXPECT_EQ(progress.median_seconds(), 60);  // nothing else yet
  for (const double seconds : {3, 1, 9}) progress.add(step_of(1, 1, seconds));
  EXPECT_EQ(progress.median_seconds(), 3);
  progress.add(step_of(1, 1, 4));
  EXPECT_EQ(progress.median_seconds(), 3.5);
}

TEST_F(ProgressTest, TheSmoothedLossIsAnExponentialMeanWithoutStartBiasAndWithoutNaN) {
  Progress progress(folder.path("m"), 9, 1);
  progress.add(step_of(1, 4, 1));
  EXPECT_DOUBLE_EQ(progress.smoothed_loss(), 4);
  progress.add(step_of(2, std::nan(""), 1));
  EXPECT_DOUBLE_EQ(progress.smoothed_loss(), 4);
  progress.add(step_of(3, 2, 1));
  EXPECT_DOUBLE_EQ(progress.smoothed_loss(), (0.98 * 4 + 2) / 1.98);
  EXPECT_EQ(progress.losses().size(), 3u);
}

TEST_F(ProgressTest, GoesOnBehindTheStepsOfAnEarlierProcess) {
  ProgressState before;
  {
    Progress progress(folder.path("m"), 4, 1);
    progress.add(step_of(1, 0.5, 1));
    progress.add(step_of(2, 0.25, 1));
    before = progress.state();
    progress.add(step_of(3, 9, 1));
  }
  std::ofstream(folder.path("m"), std::ios::app) << "{\"step\": 4, \"lo";  // killed in the middle of a line
  Progress progress(folder.path("m"), 4, 1, before);
  progress.add(step_of(3, 0.125, 1));
  std::istringstream lines(read_file(folder.path("m")));
  std::vector<double> losses;
  for (std::string line; std::getline(lines, line);) losses.push_back(parse_json(line, "metrics")["loss"]);
  EXPECT_EQ(losses, (std::vector<double>{0.5, 0.25, 0.125}));
  EXPECT_EQ(progress.losses(), losses);
  Progress straight(folder.path("n"), 4, 1);
  for (size_t i = 0; i < 3; ++i) straight.add(step_of(static_cast<int64_t>(i) + 1, losses[i], 1));
  EXPECT_EQ(progress.smoothed_loss(), straight.smoothed_loss());
  EXPECT_GE(progress.elapsed(), before.elapsed);
}

TEST_F(ProgressTest, ALogThatCannotBeWrittenIsAnError) {
  EXPECT_THROW(Progress(folder.path("none/metrics.jsonl"), 1, 1), IoError);
  Progress full("/dev/full", 1, 1);
  try {
    full.add(step_of(1, 1, 1));
    ADD_FAILURE();
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), ENOSPC);
  }
}

}  // namespace
}  // namespace sara
