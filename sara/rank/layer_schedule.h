// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sara {

// One matrix of the rank loss at one step, and the factor of its gradient.
struct RegularisedLayer {
  int64_t index;  // into the matrices in scope
  double weight;
};

// Which of `count` matrices are regularised at a step, so that the expectation over steps is the whole loss:
//   mode "one": one matrix, drawn uniformly by (seed, step) alone; mode "all": every matrix.
//   reduction "mean": the loss is the mean of the nuclear norms (weight 1 for "one", 1 / count for "all");
//   reduction "sum": their sum (weight count for "one", 1 for "all").
std::vector<RegularisedLayer> regularised_layers(int64_t count, int64_t step, const std::string& mode,
                                                 const std::string& reduction, uint64_t seed);

}  // namespace sara
