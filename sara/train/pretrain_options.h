// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sara/base/options.h"

namespace sara {

// How a model is trained from random weights (both stages of `sara pretrain`).
struct PretrainOptions {
  int64_t steps = 1000;
  int64_t batch_size = 32;
  double learning_rate = 5e-4;
  int64_t warmup_steps = 200;
  int64_t cooldown_steps = 0;
  double weight_decay = 1e-2;
  double max_grad_norm = 1.0;
  double ema_decay = 0.9995;
  double kl_weight = 1e-4;
  double caption_dropout = 0.1;
  std::optional<double> snr_gamma = 5.0;
  std::string precision = "bf16";
  int64_t seed = 0;
  double save_minutes = 5;
  bool resume = false;
  std::optional<std::string> from;

  template <class V>
  void visit(V&& v) {
    v("steps", steps, "Optimizer steps in all; autoencoder with 0: only encode", at_least(0));
    v("batch_size", batch_size, "Pictures a step", at_least(1));
    v("learning_rate", learning_rate, "AdamW's rate after the warm-up", above(0));
    v("warmup_steps", warmup_steps, "Steps over which the rate rises from 0", at_least(0));
    v("cooldown_steps", cooldown_steps, "Last steps, over which the rate falls to 0", at_least(0));
    v("weight_decay", weight_decay, "Decoupled decay of the weights", at_least(0));
    v("max_grad_norm", max_grad_norm, "Limit of the global gradient norm", above(0));
    v("ema_decay", ema_decay, "Decay of the moving average that is saved as the model", Legal{.low = 0, .high = 1, .high_open = true});
    v("kl_weight", kl_weight, "autoencoder: weight of the mean KL term", at_least(0));
    v("caption_dropout", caption_dropout, "denoiser: share of captions replaced by the empty one", between(0, 1));
    v("snr_gamma", snr_gamma, "denoiser: loss weight min(SNR, g) / SNR", above(0));
    v("precision", precision, "Type of the weights in the forward and backward pass; masters are fp32", one_of({"fp32", "bf16"}));
    v("seed", seed, "Seed of initial weights, noise and order", at_least(0));
    v("save_minutes", save_minutes, "Minutes between two saves of the state", above(0));
    v("resume", resume, "Go on from the state in the output folder");
    v("from", from, "Model folder whose weights to start from instead of random ones");
  }
};

// Rate at `step` (0-based): linear warm-up, constant, linear cool-down to 0 over the last steps.
double pretrain_rate(const PretrainOptions& options, int64_t step);

}  // namespace sara
