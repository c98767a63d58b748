// SPDX-License-Identifier: Apache-2.0
#include "sara/train/progress.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <iomanip>
#include <sstream>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/atomic_file.h"
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

// The lines of steps 1 .. last of a log that a stopped or killed run left; a half-written line has no end.
std::string lines_up_to(const std::string& path, int64_t last) {
  std::ifstream in(path);
  std::string out, line;
  int64_t kept = 0;
  while (kept < last && std::getline(in, line) && !in.eof()) {
    try {
      if (parse_json(line, path).value("step", int64_t{0}) != kept + 1) break;
    } catch (const std::exception&) {
      break;
    }
    out += line + "\n";
    ++kept;
  }
  if (kept < last) log_warning(message(escaped(path), ": the lines after step ", kept, " are missing or damaged; it goes on with step ", last + 1));
  return out;
}

}  // namespace

Progress::Progress(const std::string& metrics_path, int64_t steps, int64_t images_a_step, ProgressState from)
    : path_(metrics_path), steps_(steps), images_a_step_(images_a_step), started_(std::chrono::steady_clock::now()), taken_before_(from.losses.size()),
      state_(std::move(from)) {
  if (taken_before_ > 0) write_file(path_, lines_up_to(path_, static_cast<int64_t>(taken_before_)));
  metrics_.open(path_, taken_before_ > 0 ? std::ios::app : std::ios::out);
  if (!metrics_) throw IoError(path_, "cannot write the log", errno);
}

double Progress::since_start() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count(); }

double Progress::elapsed() const { return state_.elapsed + since_start(); }

ProgressState Progress::state() const {
  ProgressState out = state_;
  out.elapsed = elapsed();
  return out;
}

void Progress::flush_to_disk() {
  const int descriptor = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  const int code = descriptor < 0 || fsync(descriptor) != 0 ? errno : 0;
  if (descriptor >= 0) close(descriptor);
  if (code) throw IoError(path_, "cannot flush the log to the disk", code);
}

void Progress::add(const TrainingStep& step) {
  state_.losses.push_back(step.loss);
  state_.seconds.push_back(step.seconds);
  state_.loss_scale = step.loss_scale;
  (step.overflowed ? state_.overflowed : state_.skipped) += step.report.skipped;
  if (std::isfinite(step.loss)) {
    state_.weight = kDecay * state_.weight + (1 - kDecay);
    state_.smoothed += (1 - kDecay) / state_.weight * (step.loss - state_.smoothed);
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
  if (step.class_loss) line["class_loss"] = *step.class_loss;
  if (step.loss_scale) {
    line["loss_scale"] = *step.loss_scale;
    line["overflowed"] = step.overflowed;
  }
  errno = 0;
  if (!(metrics_ << line.dump() << '\n' << std::flush)) throw IoError(path_, "cannot write the log", errno ? errno : EIO);

  const double rate = double(state_.losses.size() - taken_before_) / since_start();
  std::ostringstream text;
  text << "step " << step.step << "/" << steps_ << std::setprecision(4) << "  loss " << state_.smoothed << "  lr " << step.lr << std::setprecision(3)
       << "  " << rate << " it/s  " << rate * double(images_a_step_) << " img/s  ETA " << clock_text(double(steps_ - step.step) / rate) << "  "
       << double(resident_bytes()) / 1e9 << " GB";
  if (state_.overflowed) text << "  overflowed " << state_.overflowed;
  if (state_.skipped) text << "  skipped " << state_.skipped;
  log_progress(text.str(), step.step == steps_);
}

double Progress::median_seconds() const {
  auto kept = state_.seconds;
  if (kept.size() > kWarmUp) kept.erase(kept.begin(), kept.begin() + kWarmUp);
  if (kept.empty()) return 0;
  std::sort(kept.begin(), kept.end());
  return (kept[(kept.size() - 1) / 2] + kept[kept.size() / 2]) / 2;
}

}  // namespace sara
