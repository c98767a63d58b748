// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_linear.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cstring>

#include "sara/base/error.h"
#include "sara/ops/sampled_rows.h"
#include "sara/ops/turn.h"
#include "sara/ops/vectorized.h"

namespace sara {
namespace {

// The numbers of an operand in the type that they are multiplied in.
template <class T>
struct Numbers {
  explicit Numbers(const TokenOperand& operand)
      : tensor(operand.given().to(sampled_dtype(operand.given().scalar_type()))), at(static_cast<const T*>(tensor.const_data_ptr())), channels(operand.channels()), is_map(operand.is_map()),
        area(is_map && tensor.size(0) ? operand.count() / tensor.size(0) : 1) {}

  at::TensorOptions options() const { return tensor.options(); }

  // lines[c - first channel, t - first token] = this[t, c], zeros behind up to `length` numbers.
  void turn(T* lines, int64_t line, Range of_tokens, Range of_channels, int64_t length, TurnBlock<T> turn_block) const {
    if (is_map)
      cut(lines, line, of_tokens, of_channels);
    else
      turn_tokens(lines, line, of_tokens, of_channels, turn_block);
    for (int64_t c = 0; c < of_channels.size(); ++c) std::memset(lines + c * line + of_tokens.size(), 0, (length - of_tokens.size()) * sizeof(T));
  }

 private:
  torch::Tensor tensor;
  const T* at;
  int64_t channels;
  bool is_map;
  int64_t area;

  // Some channels at a time, whose lines stay in the second cache.
  void turn_tokens(T* lines, int64_t line, Range of_tokens, Range of_channels, TurnBlock<T> turn_block) const {
    constexpr int64_t kTogether = 128;
    for (int64_t first = of_channels.begin; first < of_channels.end; first += kTogether)
      turn_matrix(lines + (first - of_channels.begin) * line, line, at + of_tokens.begin * channels + first, channels, of_tokens.size(), std::min(kTogether, of_channels.end - first), turn_block);
  }

  // A map's channels lie together already, picture by picture.
  void cut(T* lines, int64_t line, Range of_tokens, Range of_channels) const {
    for (int64_t c = of_channels.begin; c < of_channels.end; ++c)
      for (int64_t t = of_tokens.begin; t < of_tokens.end;) {
        const int64_t picture = t / area, within = t % area, run = std::min(of_tokens.end - t, area - within);
        std::memcpy(lines + (c - of_channels.begin) * line + t - of_tokens.begin, at + (picture * channels + c) * area + within, run * sizeof(T));
        t += run;
      }
  }
};

SARA_VECTORIZED void add_floats(float* to, const float* from, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

// out += sums[0] + sums[1] + ..., one after the other.
void add_groups(float* out, const torch::Tensor& sums) {
  constexpr int64_t kTogether = 4096;
  const int64_t entries = sums.size(1);
  at::parallel_for(0, (entries + kTogether - 1) / kTogether, 4, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * kTogether; first < std::min(entries, end * kTogether); first += kTogether)
      for (int64_t group = 0; group < sums.size(0); ++group)
        add_floats(out + first, sums.const_data_ptr<float>() + group * entries + first, std::min(kTogether, entries - first));
  });
}

// The tokens in groups whose sums are made apart and added up in order, so that threads take different groups and still every entry gets the
// same bits at any number of threads.
struct TokenGroups {
  static constexpr int64_t kMost = 8;
  TokenGroups(int64_t tokens, int64_t chunk) : tokens(tokens), chunk(chunk), chunks((tokens + chunk - 1) / chunk), count(std::clamp<int64_t>(chunks, 1, kMost)) {}
  int64_t tokens, chunk, chunks, count;
  Range group(int64_t index) const { return {first(index), first(index + 1)}; }

 private:
  int64_t first(int64_t index) const { return std::min(tokens, chunks * index / count * chunk); }
};

// Each thread makes all that it reads: to read lines that another core has just written takes longer than to turn them again. So the threads
// share out the groups of tokens, and the rows where groups are fewer, each with the whole input; or, where the input is the wider of the
// two, the columns, each with the whole gradient, and never more of them than stay in the second cache.
template <class T>
void add_products(float* out, const torch::Tensor& indices, const torch::Tensor& row_starts, const TokenOperand& gradient, const TokenOperand& input, SampledDots<T> dots,
                  TurnBlock<T> turn_block) {
  constexpr int64_t kTokens = 1024 / sizeof(T), kRows = 128;
  const int64_t count = gradient.count(), columns = input.channels(), line = spaced_line(rounded_to_lanes(std::min(count, kTokens)), sizeof(T));
  const TokenGroups groups(count, kTokens);
  const bool by_columns = columns > gradient.channels();
  const int64_t near = by_columns ? columns_together(columns, columns, line * sizeof(T)) : columns;  // columns that stay near while all rows pass
  const int64_t parts = std::max((at::get_num_threads() + groups.count - 1) / groups.count, (columns + near - 1) / near);  // of a group
  const SampledEntries entries(indices, row_starts, columns, columns, line * sizeof(T), by_columns ? parts : 1);
  const Numbers<T> left(gradient), right(input);
  std::vector<int64_t> column_starts(columns);
  for (int64_t c = 0; c < columns; ++c) column_starts[c] = c * line;

  const auto add = [&](float* sums, Range group, int64_t part, T* left_lines, T* right_lines) {
    const Range all = by_columns ? Range{0, entries.rows()} : Range{entries.first_row(part, parts, 16), entries.first_row(part + 1, parts, 16)};
    const Range blocks = by_columns ? Range{entries.blocks() * part / parts, entries.blocks() * (part + 1) / parts} : Range{0, entries.blocks()};
    const Range mine{entries.column(blocks.begin), entries.column(blocks.end)};
    if (all.size() == 0 || mine.size() == 0) return;
    for (Range tokens{group.begin, 0}; tokens.begin < group.end; tokens.begin = tokens.end) {
      tokens.end = std::min(group.end, tokens.begin + kTokens);
      const int64_t length = rounded_to_lanes(tokens.size());
      right.turn(right_lines + mine.begin * line, line, tokens, mine, length, turn_block);
      for (Range rows{all.begin, 0}; rows.begin < all.end; rows.begin = rows.end) {
        rows.end = std::min(all.end, rows.begin + kRows);
        left.turn(left_lines, line, tokens, rows, length, turn_block);
        add_rows(sums, entries, rows, blocks, left_lines, line, right_lines, column_starts.data(), length, dots);
      }
    }
  };
  const torch::Tensor sums = groups.count > 1 ? torch::zeros({groups.count, indices.numel()}, torch::kFloat) : torch::Tensor();
  at::parallel_for(0, groups.count * parts, 1, [&](int64_t begin, int64_t end) {
    const torch::Tensor lines = torch::empty({kRows + columns, line}, left.options());
    T* const left_lines = static_cast<T*>(lines.data_ptr());
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t group = unit / parts;
      add(sums.defined() ? sums.data_ptr<float>() + group * indices.numel() : out, groups.group(group), unit % parts, left_lines, left_lines + kRows * line);
    }
  });
  if (sums.defined()) add_groups(out, sums);
}

}  // namespace

TokenOperand::TokenOperand(const torch::Tensor& tokens)
    : tokens_(tokens.reshape({-1, tokens.size(-1)}).contiguous()), count_(tokens_.size(0)), channels_(tokens_.size(1)) {}

TokenOperand TokenOperand::of_map(const torch::Tensor& map) {
  TokenOperand operand;
  operand.map_ = map.contiguous();
  operand.channels_ = map.size(1);
  operand.count_ = map.numel() / map.size(1);
  return operand;
}

const torch::Tensor& TokenOperand::tokens() {
  if (!tokens_.defined()) tokens_ = tokens_of_map(map_).view({-1, channels_});
  return tokens_;
}

void sampled_linear_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const TokenOperand& gradient, const TokenOperand& input) {
  RECORD_FUNCTION("sara::sampled_linear", {});
  SARA_CHECK(out.is_contiguous() && out.numel() == indices.numel() && out.scalar_type() == torch::kFloat && gradient.count() == input.count() && row_starts.numel() == gradient.channels() + 1);
  SARA_CHECK(gradient.given().scalar_type() == input.given().scalar_type());
  if (sampled_dtype(input.given().scalar_type()) == torch::kBFloat16)
    add_products<uint16_t>(out.data_ptr<float>(), indices, row_starts, gradient, input, sampled_dots_bf16(), turn_block_bf16());
  else
    add_products<float>(out.data_ptr<float>(), indices, row_starts, gradient, input, sampled_dots_f32(), turn_block_f32());
}

}  // namespace sara
