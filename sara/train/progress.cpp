// SPDX-License-Identifier: Apache-2.0
#include "sara/train/progress.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/json.h"
#include "sara/train/process_memory.h"

namespace sara {
namespace {

constexpr double kDecay = 0.98;
constexpr size_t kWarmUp = 3;

std::string clock_text(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  std::ostringstream out;
  if (whole >= 3600) out << whole / 3600 << " h " << whole % 3600 / 60 << " min";
  else if (whole >= 60) out << whole / 60 << " min " << whole % 60 << " s";
  else out << whole << " s";
  return out.str();
}

}  // namespace

Progress::Progress(const std::string& metrics_path, int64_t steps, int64_t images_a_step)
    : path_(metrics_path), metrics_(metrics_path), steps_(steps), images_a_step_(images_a_step), started_(std::chrono::steady_clock::now()) {
  if (!metrics_) throw IoError(path_, "cannot write the log", errno);
}

double Progress::elapsed() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count(); }

void Progress::add(const TrainingStep& step) {
  losses_.push_back(step.loss);
  seconds_.push_back(step.seconds);
  (step.overflowed ? overflowed_ : skipped_) += step.report.skipped;
  if (std::isfinite(step.loss)) {
    weight_ = kDecay * weight_ + (1 - kDecay);
    smoothed_ += (1 - kDecay) / weight_ * (step.loss - smoothed_);
  }
  Json line{{"step", step.step},
                  {"loss", step.loss},
                  {"lr", step.lr},
                  {"grad_norm", step.report.grad_norm},
                  {"rank_loss", step.report.rank_loss},
                  {"active", step.report.active},
                  {"reselected", step.report.reselected},
                  {"skipped", step.report.skipped},
                  {"seconds", step.seconds},
                  {"memory_gb", double(resident_bytes()) / 1e9}};
  if (step.loss_scale) {
    line["loss_scale"] = *step.loss_scale;
    line["overflowed"] = step.overflowed;
  }
  errno = 0;
  if (!(metrics_ << line.dump() << '\n' << std::flush)) throw IoError(path_, "cannot write the log", errno ? errno : EIO);

  const double rate = double(losses_.size()) / elapsed();
  std::ostringstream text;
  text << "step " << step.step << "/" << steps_ << std::setprecision(4) << "  loss " << smoothed_ << "  lr " << step.lr << std::setprecision(3)
       << "  " << rate << " it/s  " << rate * double(images_a_step_) << " img/s  ETA " << clock_text(double(steps_ - step.step) / rate) << "  "
       << double(resident_bytes()) / 1e9 << " GB";
  if (overflowed_) text << "  overflowed " << overflowed_;
  if (skipped_) text << "  skipped " << skipped_;
  log_progress(text.str(), step.step == steps_);
}

double Progress::median_seconds() const {
  auto kept = seconds_;
  if (kept.size() > kWarmUp) kept.erase(kept.begin(), kept.begin() + kWarmUp);
  if (kept.empty()) return 0;
  std::sort(kept.begin(), kept.end());
  return (kept[(kept.size() - 1) / 2] + kept[kept.size() / 2]) / 2;
}

}  // namespace sara
