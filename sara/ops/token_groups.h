// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <algorithm>

#include "sara/ops/sampled_dots.h"
#include "sara/ops/sampled_dots.h"
#include "sara/ops/sampled_entries.h"

namespace sara {

// The tokens in groups of one size, whole blocks, the last group maybe smaller. Their sums are made apart and added up in order, so that threads take
// different groups and still every entry gets the same bits at any number of threads. Two at least where half of the tokens are numbers enough for a dot
// product: then two threads make nothing twice.
struct TokenGroups {
  static constexpr int64_t kMost = 8, kLeast = 64, kStep = kTurnBlock<uint16_t>;
  // Of a group at most `most` tokens pass at a time, in pieces of about equal size.
  TokenGroups(int64_t tokens, int64_t most) : tokens(tokens) {
    const int64_t wanted = std::clamp<int64_t>(divided_up(tokens, most), tokens >= 2 * kLeast ? 2 : 1, kMost);
    size = std::max<int64_t>(1, divided_up(tokens, wanted * kStep)) * kStep;
    count = std::max<int64_t>(1, divided_up(tokens, size));
    piece = divided_up(size, divided_up(size, most) * kStep) * kStep;
  }
  int64_t tokens, size, count, piece;
  Range group(int64_t index) const { return {index * size, std::min(tokens, (index + 1) * size)}; }

 private:
  static int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
};

// What is added to `out` [count], fp32, group by group: of several groups each has its own sums, added up at the end one after the other.
class GroupSums {
 public:
  GroupSums(float* out, int64_t count, int64_t groups) : out_(out), sums_(out && groups > 1 ? torch::empty({groups, count}, torch::kFloat) : torch::Tensor()) {}

  float* of(int64_t group) const { return sums_.defined() ? sums_.data_ptr<float>() + group * sums_.size(1) : out_; }
  // Once, before anything is added to a group's; by the thread that adds, unless several do.
  void clear(int64_t group) const {
    if (sums_.defined()) std::fill_n(of(group), sums_.size(1), 0.0f);
  }
  void finish() const;

 private:
  float* out_;  // may be null: nothing is wanted
  torch::Tensor sums_;  // [groups, count]; undefined of one group, and where nothing is wanted
};

}  // namespace sara
