// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "sara/sparse/mask.h"

namespace sara {

constexpr double kDefaultThreshold = 2e-3;  // about 50M weights of SD 1.5, the paper's largest budget

// What to select: below a threshold, or as many as a budget says (see threshold.h); neither means kDefaultThreshold.
struct SelectionRequest {
  std::optional<double> threshold = std::nullopt;
  std::optional<std::string> budget = std::nullopt;
  bool force = false;  // accept a selection of nothing or of more than half
};

struct Selection {
  Mask mask;         // every tensor in scope, those with nothing selected too
  double threshold;  // given, or that of the budget
  int64_t selected;  // weights in the mask: the budget reached
  int64_t total;     // weights in scope
};

// M = { |p| < threshold }, strict, over all weights in scope (Sec. 3, 4.1, Eq. 1-3). A mask depends on the base bits
// only: not on device, dtype of computation or thread count.
// Throws InvalidArgument when both or bad values are given, and, unless forced, when nothing or more than half would be
// selected (with the shares per tensor and the threshold that gives 5 %); BadFile for NaN or infinite weights.
Selection select(const NamedTensors& scope, const SelectionRequest& request);

}  // namespace sara
