// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/arg.h>

#include <optional>
#include <string>
#include <vector>

#include "sara/base/options.h"
#include "sara/sparse/selection.h"

namespace sara {

// Options of sparse AdamW: each has a setter that returns the options, as in torch::optim, and a getter.
//   AdamWOptions().threshold(2e-3).lambda_rank(0)
struct AdamWOptions {
  using Number = std::optional<double>;
  using Text = std::optional<std::string>;
  using Count = std::optional<int64_t>;
  using Patterns = std::vector<std::string>;

  TORCH_ARG(Number, threshold) = std::nullopt;
  TORCH_ARG(Text, budget) = std::nullopt;
  TORCH_ARG(std::string, selection) = "below";
  TORCH_ARG(TunedTensors, tuned_weights) = {};  // of selection `changed`: the tuned tensor of a name; no flag, --tuned sets it
  TORCH_ARG(Number, lr) = std::nullopt;
  TORCH_ARG(double, adam_beta1) = 0.9;
  TORCH_ARG(double, adam_beta2) = 0.999;
  TORCH_ARG(double, eps) = 1e-8;
  TORCH_ARG(double, weight_decay) = 1e-2;
  TORCH_ARG(std::string, decay_to) = "zero";
  TORCH_ARG(std::string, moments) = "fp32";
  TORCH_ARG(double, lambda_rank) = 5e-3;
  TORCH_ARG(std::string, rank_mode) = "one";
  TORCH_ARG(std::string, rank_layers) = "linear";
  TORCH_ARG(std::string, rank_reduction) = "mean";
  TORCH_ARG(Count, progressive_iter) = std::nullopt;
  TORCH_ARG(double, max_grad_norm) = 0;
  TORCH_ARG(Patterns, include) = {};
  TORCH_ARG(Patterns, exclude) = {};
  TORCH_ARG(int64_t, seed) = 0;
  TORCH_ARG(bool, force) = false;

 public:
  template <class V>
  void visit(V&& v) {
    v("threshold", threshold_, "Train the weights of magnitude below this (default 2e-3 when no budget is given); with another selection than below only the bound of the reselection", above(0));
    v("budget", budget_, "Train this many weights: a count (50M) or a share (5%), instead of a threshold");
    v("selection", selection_, "Which weights are trained: the smallest of the model, or by another rule for comparison (needs a budget)", one_of(selection_names()));
    v("lr", lr_, "Learning rate (default 1e-3 exp(-350 threshold), when there is a threshold)", above(0));
    v("adam_beta1", adam_beta1_, "Decay of the first moment", Legal{.low = 0, .high = 1, .high_open = true});
    v("adam_beta2", adam_beta2_, "Decay of the second moment", Legal{.low = 0, .high = 1, .high_open = true});
    v("eps", eps_, "Added to the root of the second moment", above(0));
    v("weight_decay", weight_decay_, "Decoupled weight decay of the trained weights", at_least(0));
    v("decay_to", decay_to_, "What weight decay pulls to: zero, as in the paper, or the base weights", one_of({"zero", "base"}));
    v("moments", moments_, "Storage of the two moments: fp32, or 8bit in blocks of 256 with a scale each, a quarter of their memory", one_of({"fp32", "8bit"}));
    v("lambda_rank", lambda_rank_, "Weight of the nuclear-norm loss on the trained weights; 0: none", at_least(0));
    v("rank_mode", rank_mode_, "Matrices regularised at a step: one drawn at random, or all", one_of({"one", "all"}));
    v("rank_layers", rank_layers_, "Scope of the rank loss: linear matrices, or convolutions too", one_of({"linear", "all"}));
    v("rank_reduction", rank_reduction_, "Rank loss over several matrices", one_of({"mean", "sum"}));
    v("progressive_iter", progressive_iter_, "Step after which only weights still below the threshold go on; 0: never (default: half of the steps, where there is a threshold)", at_least(0));
    v("max_grad_norm", max_grad_norm_, "Clip the gradient of the trained weights to this norm; 0: never", at_least(0));
    v("include", include_, "Train only tensors whose name matches one of these regular expressions (default: all; sara train on an AnimateDiff model: its motion_modules.)");
    v("exclude", exclude_, "Leave out tensors whose name matches one of these regular expressions");
    v("seed", seed_, "Seed of every random draw of a run: order, noise, captions, flips, samples and the matrices of the rank loss", at_least(0));
    v("force", force_, "Accept a selection of nothing or of more than half of the weights");
  }
};

}  // namespace sara
