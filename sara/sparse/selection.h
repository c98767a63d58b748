// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sara/sparse/ranking.h"

namespace sara {

constexpr double kDefaultThreshold = 2e-3;  // about 50M weights of SD 1.5, the paper's largest budget

// The rules by name. `below` is the paper's; the others are its ablations and baselines.
//   below                { |p| < threshold }, one threshold over the model; a budget fixes the threshold and back
//   largest              the budget's number of largest |p| (Tab. 2)
//   random               as many, drawn uniformly by a seed (Tab. 2)
//   smallest_per_tensor  the smallest |p|, of every tensor the same share (PaFi)
//   changed              those that moved most, |tuned - p|, from the base to a tuned model (LT-SFT)
// All but `below` need a budget and meet it exactly: of equal weights those of the earlier tensor and lower position go first.
std::vector<std::string> selection_names();

// What to select. For `below` either a threshold or a budget (see threshold.h); neither means kDefaultThreshold. For the other
// rules a budget, and perhaps a threshold, which then bounds the reselection alone and selects nothing.
struct SelectionRequest {
  std::optional<double> threshold = std::nullopt;
  std::optional<std::string> budget = std::nullopt;
  bool force = false;  // accept a selection of nothing or of more than half
  std::string rule = "below";
  uint64_t seed = 0;        // of `random`
  TunedTensors tuned = {};  // of `changed`: the tuned model's tensor of a name
};

struct Selection {
  Mask mask;         // every tensor in scope, those with nothing selected too
  double threshold;  // given, or that of the budget; infinite (no bound) with another rule than `below` and none given
  int64_t selected;  // weights in the mask: the budget reached
  int64_t total;     // weights in scope
};

// The mask over all weights in scope (Sec. 3, 4.1, Eq. 1-3). It depends on the base bits (and the tuned model's, or the seed)
// only: not on device, dtype of computation or thread count.
// Throws InvalidArgument when both, bad or missing values are given, and, unless forced, when nothing or more than half would
// be selected (for `below` with the shares per tensor and the threshold that gives 5 %); BadFile for NaN or infinite weights.
Selection select(const NamedTensors& scope, const SelectionRequest& request);

}  // namespace sara
