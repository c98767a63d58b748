// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "sara/train/trainer.h"

namespace sara {

// Follows a run: a line of metrics.jsonl per step and the progress line (step, loss, rate, it/s, images/s, ETA, memory).
class Progress {
 public:
  // Throws IoError when the file cannot be made.
  Progress(const std::string& metrics_path, int64_t steps, int64_t images_a_step);

  void add(const TrainingStep& step);  // throws IoError when the line cannot be written

  double smoothed_loss() const { return smoothed_; }  // exponential mean, decay 0.98, without start bias
  double median_seconds() const;                      // of the steps after the first three
  int64_t overflowed() const { return overflowed_; }  // steps left out while the loss scale fell
  double elapsed() const;                             // seconds since construction
  const std::vector<double>& losses() const { return losses_; }

 private:
  std::string path_;
  std::ofstream metrics_;
  int64_t steps_, images_a_step_, skipped_ = 0, overflowed_ = 0;
  std::chrono::steady_clock::time_point started_;
  std::vector<double> losses_, seconds_;
  double smoothed_ = 0, weight_ = 0;
};

}  // namespace sara
