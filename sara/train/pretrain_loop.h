// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sara/optim/dense_adamw.h"
#include "sara/optim/ema.h"
#include "sara/train/pretrain_options.h"

namespace sara {

// The loop both pre-training stages share: rate, clipping, AdamW on fp32 masters, moving average, log, saves, resume.
// `modules` are trained together; their parameter names are prefixed with the paired name.
class PretrainLoop {
 public:
  using Modules = std::vector<std::pair<std::string, std::shared_ptr<torch::nn::Module>>>;
  PretrainLoop(Modules modules, std::string output, const PretrainOptions& options);

  // `loss_at(step)` builds the loss of one step (0-based); its draws must depend on the step alone.
  // Writes `<output>/<stage>.state.safetensors` every save_minutes and at the end, and a line of
  // `<output>/<stage>.metrics.jsonl` every 50 steps. Throws NonFinite when the loss stays non-finite for 20 steps.
  void run(const std::string& stage, const std::function<torch::Tensor(int64_t step)>& loss_at);

  // Puts the moving average into the modules' weights (the result of pre-training).
  void use_average();

 private:
  void save_state(const std::string& path) const;
  void load_state(const std::string& path);

  Modules modules_;
  std::string output_;
  PretrainOptions options_;
  std::vector<std::string> names_;
  std::vector<torch::Tensor> weights_;
  std::unique_ptr<DenseAdamW> optimizer_;
  std::unique_ptr<Ema> average_;
};

// Writes `<folder>/config.json` and `<folder>/<file>` with all parameters in `dtype`.
void save_component(const std::string& folder, const std::string& file, const torch::nn::Module& module, const std::string& config_json,
                    c10::ScalarType dtype);

}  // namespace sara
