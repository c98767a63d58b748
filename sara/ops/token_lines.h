// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <cstring>

#include "sara/ops/channel_sums.h"
#include "sara/ops/sampled_dots.h"
#include "sara/ops/sampled_entries.h"
#include "sara/ops/token_operand.h"
#include "sara/ops/turn.h"

namespace sara {

// One side of a linear layer in the type that it is multiplied in, cut into lines: the numbers of one channel for neighbouring tokens.
template <class T>
class TokenLines {
 public:
  explicit TokenLines(const TokenOperand& operand)
      : tensor_(operand.given().to(sampled_dtype(operand.given().scalar_type()))), at_(static_cast<const T*>(tensor_.const_data_ptr())), channels_(operand.channels()), is_map_(operand.is_map()),
        area_(is_map_ && tensor_.size(0) ? operand.count() / tensor_.size(0) : 1) {}

  at::TensorOptions options() const { return tensor_.options(); }
  int64_t channels() const { return channels_; }

  // lines[c - first channel, t - first token] = this[t, c] of the wanted channels, zeros behind up to `length` numbers. sums[c] += sum_t this[t, c], where it
  // is not null.
  void turn(T* lines, int64_t line, Range of_tokens, Range of_channels, int64_t length, TurnBlock<T> turn_block, const ColumnSet* wanted, float* sums = nullptr) const {
    if (is_map_)
      cut(lines, line, of_tokens, of_channels, wanted, sums);
    else
      turn_tokens(lines, line, of_tokens, of_channels, turn_block, wanted, sums);
    if (length == of_tokens.size()) return;
    for (int64_t c = 0; c < of_channels.size(); ++c) std::memset(lines + c * line + of_tokens.size(), 0, (length - of_tokens.size()) * sizeof(T));
  }

 private:
  // Some channels at a time, whose lines stay in the second cache.
  void turn_tokens(T* lines, int64_t line, Range of_tokens, Range of_channels, TurnBlock<T> turn_block, const ColumnSet* wanted, float* sums) const {
    constexpr int64_t kTogether = 128;
    for (int64_t first = of_channels.begin; first < of_channels.end; first += kTogether)
      turn_matrix(lines + (first - of_channels.begin) * line, line, at_ + of_tokens.begin * channels_ + first, channels_, of_tokens.size(), std::min(kTogether, of_channels.end - first), turn_block,
                  wanted, first, sums ? sums + first : nullptr);
  }

  // A map's channels lie together already, picture by picture.
  void cut(T* lines, int64_t line, Range of_tokens, Range of_channels, const ColumnSet* wanted, float* sums) const {
    for (int64_t c = of_channels.begin; c < of_channels.end; ++c) {
      const bool is_wanted = !wanted || (wanted->from(c) & 1);
      if (!is_wanted && !sums) continue;
      for (int64_t t = of_tokens.begin; t < of_tokens.end;) {
        const int64_t picture = t / area_, within = t % area_, run = std::min(of_tokens.end - t, area_ - within);
        const T* const from = at_ + (picture * channels_ + c) * area_ + within;
        if (is_wanted) std::memcpy(lines + (c - of_channels.begin) * line + t - of_tokens.begin, from, run * sizeof(T));
        if (sums) sums[c] += sum_of_line(from, run);
        t += run;
      }
    }
  }

  torch::Tensor tensor_;
  const T* at_;
  int64_t channels_;
  bool is_map_;
  int64_t area_;
};

}  // namespace sara
