// SPDX-License-Identifier: Apache-2.0
#include "sara/train/pretrain_loop.h"

#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iomanip>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/atomic_file.h"
#include "sara/files/json.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kLogEvery = 50;
constexpr int kMaxBadSteps = 20;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

double pretrain_rate(const PretrainOptions& options, int64_t step) {
  double rate = options.learning_rate;
  if (step < options.warmup_steps) rate *= double(step + 1) / double(options.warmup_steps);
  const int64_t left = options.steps - step;
  if (left < options.cooldown_steps) rate *= double(left) / double(options.cooldown_steps);
  return rate;
}

PretrainLoop::PretrainLoop(Modules modules, std::string output, const PretrainOptions& options)
    : modules_(std::move(modules)), output_(std::move(output)), options_(options) {
  for (auto& [prefix, module] : modules_) {
    module->train();
    for (auto& item : module->named_parameters()) {
      names_.push_back(prefix + "." + item.key());
      weights_.push_back(item.value().requires_grad_(true));
    }
  }
  DenseAdamWOptions adam;
  adam.weight_decay = options.weight_decay;
  optimizer_ = std::make_unique<DenseAdamW>(weights_, adam);
  average_ = std::make_unique<Ema>(optimizer_->values(), options.ema_decay);
}

void PretrainLoop::use_average() {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < weights_.size(); ++i) weights_[i].detach().copy_(average_->averages()[i]);
  for (auto& [prefix, module] : modules_) module->eval();
}

void PretrainLoop::save_state(const std::string& path) const {
  TensorMap state;
  optimizer_->save(state, names_);
  for (size_t i = 0; i < names_.size(); ++i) state[names_[i] + ".average"] = average_->averages()[i];
  save_tensors(path, state);
}

void PretrainLoop::load_state(const std::string& path) {
  const auto state = load_tensors(path);
  const auto require = [&](const std::string& name, at::IntArrayRef shape) {
    const auto found = state.find(name);
    if (found == state.end() || found->second.sizes() != shape) {
      throw BadFile(path, message("tensor ", name, " is missing or has another shape. Fix: resume with the layout this state was made with"));
    }
  };
  require("steps", {});
  for (size_t i = 0; i < names_.size(); ++i) {
    for (const char* part : {".value", ".exp_avg", ".exp_avg_sq", ".average"}) require(names_[i] + part, weights_[i].sizes());
  }
  optimizer_->load(state, names_);
  if (optimizer_->steps() > options_.steps) {
    throw InvalidArgument(message("steps: the state is further (expected at least ", optimizer_->steps(), ", got ", options_.steps, "). Fix: raise --steps"));
  }
  std::vector<torch::Tensor> averages;
  for (const auto& name : names_) averages.push_back(state.at(name + ".average"));
  average_->restore(averages, optimizer_->steps());
}

void PretrainLoop::run(const std::string& stage, const std::function<torch::Tensor(int64_t)>& loss_at) {
  const auto state_path = (std::filesystem::path(output_) / (stage + ".state.safetensors")).string();
  const auto metrics_path = (std::filesystem::path(output_) / (stage + ".metrics.jsonl")).string();
  if (options_.resume) {
    if (!std::filesystem::exists(state_path)) throw InvalidArgument(message(state_path, ": no state to resume from. Fix: start without --resume"));
    load_state(state_path);
    log_info(message(stage, ": resumed after step ", optimizer_->steps()));
  } else if (std::filesystem::exists(state_path)) {
    throw IoError(state_path, "a state is already there. Fix: add --resume, or choose another output folder", EEXIST);
  }
  std::ofstream metrics(metrics_path, std::ios::app);
  if (!metrics) throw IoError(metrics_path, "cannot write the log", errno);
  const int64_t first = optimizer_->steps();
  auto last_save = Clock::now(), started = Clock::now(), window_start = Clock::now();
  double window_loss = 0, window_norm = 0;
  int64_t window = 0;
  int bad_steps = 0;
  for (int64_t step = first; step < options_.steps; ++step) {
    auto loss = loss_at(step);
    const double value = loss.item<double>();
    loss.backward();
    loss.reset();
    const double norm = optimizer_->grad_norm();
    if (!std::isfinite(value) || !std::isfinite(norm)) {
      optimizer_->clear_gradients();
      log_warning(message(stage, ": step ", step + 1, " skipped: loss ", value, ", gradient norm ", norm));
      if (++bad_steps >= kMaxBadSteps) throw NonFinite(message(stage, ": ", bad_steps, " non-finite steps in a row. Fix: lower --learning-rate"));
      continue;
    }
    bad_steps = 0;
    const double rate = pretrain_rate(options_, step);
    optimizer_->step(rate, std::min(1.0, options_.max_grad_norm / (norm + 1e-6)));
    average_->update();
    window_loss += value;
    window_norm += norm;
    ++window;
    const double elapsed = seconds_since(started);
    const int64_t done = step + 1 - first;
    std::ostringstream line;
    line << stage << " " << step + 1 << "/" << options_.steps << std::setprecision(4) << "  loss " << window_loss / window << "  lr " << rate
         << "  " << std::setprecision(3) << done * options_.batch_size / elapsed << " img/s  ETA "
         << static_cast<int64_t>((options_.steps - step - 1) * elapsed / done) << " s";
    log_progress(line.str(), step + 1 == options_.steps, 30);
    if (window == kLogEvery || step + 1 == options_.steps) {
      Json entry{{"step", step + 1}, {"loss", window_loss / window}, {"grad_norm", window_norm / window}, {"lr", rate},
                 {"images_per_s", window * options_.batch_size / seconds_since(window_start)}};
      errno = 0;
      if (!(metrics << entry.dump() << std::endl)) throw IoError(metrics_path, "cannot write the log", errno ? errno : EIO);
      window_loss = window_norm = 0;
      window = 0;
      window_start = Clock::now();
    }
    if (seconds_since(last_save) > 60 * options_.save_minutes) {
      save_state(state_path);
      last_save = Clock::now();
    }
  }
  save_state(state_path);
}

void save_component(const std::string& folder, const std::string& file, const torch::nn::Module& module, const std::string& config_json,
                    c10::ScalarType dtype) {
  std::filesystem::create_directories(folder);
  TensorMap tensors;
  for (const auto& item : module.named_parameters()) tensors[item.key()] = item.value().detach().to(dtype);
  save_tensors((std::filesystem::path(folder) / file).string(), tensors, {{"format", "pt"}});
  write_file((std::filesystem::path(folder) / "config.json").string(), config_json);
}

}  // namespace sara
