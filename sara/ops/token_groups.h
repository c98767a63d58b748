// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <algorithm>

#include "sara/ops/sampled_dots.h"
#include "sara/ops/sampled_rows.h"

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

// out += sums[0] + sums[1] + ..., one after the other; sums [groups, entries], fp32.
void add_groups(float* out, const torch::Tensor& sums);

}  // namespace sara
