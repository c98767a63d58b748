// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "sara/train/trainer.h"

namespace sara {

// What the log, the chart and the summary know of the steps that were taken.
struct ProgressState {
  std::vector<double> losses, seconds;  // a number a step
  double smoothed = 0, weight = 0;      // the mean, and how much of it is not start bias
  int64_t skipped = 0, overflowed = 0;
  std::optional<double> loss_scale;     // of the last step, in fp16
  double elapsed = 0;                   // seconds
};

// Follows a run: a line of metrics.jsonl per step and the progress line (step, loss, rate, it/s, images/s, ETA, memory).
class Progress {
 public:
  // Goes on behind the steps of `from`: lines of later steps are cut off the file, with a warning when earlier ones are missing.
  // Throws IoError when the file cannot be made.
  Progress(const std::string& metrics_path, int64_t steps, int64_t images_a_step, ProgressState from = {});

  void add(const TrainingStep& step);  // throws IoError when the line cannot be written

  ProgressState state() const;
  void flush_to_disk();  // the lines written so far survive a power loss; throws IoError

  double smoothed_loss() const { return state_.smoothed; }  // exponential mean, decay 0.98, without start bias
  double median_seconds() const;                      // of the steps after the first three
  int64_t overflowed() const { return state_.overflowed; }  // steps left out while the loss scale fell
  std::optional<double> loss_scale() const { return state_.loss_scale; }
  double elapsed() const;                             // seconds of training
  const std::vector<double>& losses() const { return state_.losses; }

 private:
  double since_start() const;  // of this process

  std::string path_;
  std::ofstream metrics_;
  int64_t steps_, images_a_step_;
  std::chrono::steady_clock::time_point started_;
  size_t taken_before_ = 0;  // steps of earlier processes
  ProgressState state_;
};

}  // namespace sara
