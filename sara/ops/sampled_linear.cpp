// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_linear.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "sara/base/error.h"
#include "sara/ops/group_norm_loops.h"
#include "sara/ops/sampled_rows.h"
#include "sara/ops/turn.h"
#include "sara/ops/units.h"
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

  // lines[c - first channel, t - first token] = this[t, c] of the wanted channels, zeros behind up to `length` numbers. sums[c] += sum_t this[t, c], where it
  // is not null.
  void turn(T* lines, int64_t line, Range of_tokens, Range of_channels, int64_t length, TurnBlock<T> turn_block, const std::optional<ColumnSet>& wanted, float* sums = nullptr) const {
    if (is_map)
      cut(lines, line, of_tokens, of_channels, wanted ? &*wanted : nullptr, sums);
    else
      turn_tokens(lines, line, of_tokens, of_channels, turn_block, wanted ? &*wanted : nullptr, sums);
    for (int64_t c = 0; c < of_channels.size(); ++c) std::memset(lines + c * line + of_tokens.size(), 0, (length - of_tokens.size()) * sizeof(T));
  }

 private:
  torch::Tensor tensor;
  const T* at;
  int64_t channels;
  bool is_map;
  int64_t area;

  // Some channels at a time, whose lines stay in the second cache.
  void turn_tokens(T* lines, int64_t line, Range of_tokens, Range of_channels, TurnBlock<T> turn_block, const ColumnSet* wanted, float* sums) const {
    constexpr int64_t kTogether = 128;
    for (int64_t first = of_channels.begin; first < of_channels.end; first += kTogether)
      turn_matrix(lines + (first - of_channels.begin) * line, line, at + of_tokens.begin * channels + first, channels, of_tokens.size(), std::min(kTogether, of_channels.end - first), turn_block,
                  wanted, first, sums ? sums + first : nullptr);
  }

  // A map's channels lie together already, picture by picture.
  void cut(T* lines, int64_t line, Range of_tokens, Range of_channels, const ColumnSet* wanted, float* sums) const {
    for (int64_t c = of_channels.begin; c < of_channels.end; ++c) {
      const bool is_wanted = !wanted || (wanted->from(c) & 1);
      if (!is_wanted && !sums) continue;
      for (int64_t t = of_tokens.begin; t < of_tokens.end;) {
        const int64_t picture = t / area, within = t % area, run = std::min(of_tokens.end - t, area - within);
        const T* const from = at + (picture * channels + c) * area + within;
        if (is_wanted) std::memcpy(lines + (c - of_channels.begin) * line + t - of_tokens.begin, from, run * sizeof(T));
        if (sums) sums[c] += sum_of_plane(from, run);
        t += run;
      }
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

// Of few entries many lines have none, and those need not be turned: nullopt where nearly all have some.
constexpr int64_t kFewEntries = 2;  // a line on average; of fewer, more than an eighth of the lines has none

std::optional<ColumnSet> rows_with_entries(const SampledLinear& layer) {
  const int64_t rows = layer.row_starts.numel() - 1;
  if (layer.indices.numel() >= kFewEntries * rows) return std::nullopt;
  ColumnSet wanted(rows);
  const auto* starts = layer.row_starts.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < rows; ++row)
    if (starts[row] < starts[row + 1]) wanted.insert(row);
  return wanted;
}

std::optional<ColumnSet> columns_with_entries(const std::vector<SampledLinear>& layers, int64_t columns) {
  int64_t entries = 0;
  for (const SampledLinear& layer : layers) entries += layer.indices.numel();
  if (entries >= kFewEntries * columns) return std::nullopt;
  ColumnSet wanted(columns);
  for (const SampledLinear& layer : layers) {
    const auto* starts = layer.row_starts.const_data_ptr<int64_t>();
    const auto* indices = layer.indices.const_data_ptr<int32_t>();
    for (int64_t row = 0; row + 1 < layer.row_starts.numel(); ++row)
      for (int64_t k = starts[row]; k < starts[row + 1]; ++k) wanted.insert(indices[k] - row * columns);
  }
  return wanted;
}

// One layer on its way: its numbers, and its sums of each group of tokens where there are several.
template <class T>
struct Layer {
  Layer(const SampledLinear& wanted, int64_t columns, int64_t line, int64_t parts, int64_t groups)
      : entries(wanted.indices, wanted.row_starts, columns, columns, line * sizeof(T), parts), gradient(wanted.gradient), out(wanted.out.data_ptr<float>()),
        totals(wanted.gradient_sums.defined() ? wanted.gradient_sums.data_ptr<float>() : nullptr), wanted(rows_with_entries(wanted)) {
    if (groups == 1) return;
    sums = torch::zeros({groups, wanted.indices.numel()}, torch::kFloat);
    if (totals) total_sums = torch::zeros({groups, wanted.gradient.channels()}, torch::kFloat);
  }

  float* sums_of(int64_t group) const { return sums.defined() ? sums.data_ptr<float>() + group * sums.size(1) : out; }
  float* totals_of(int64_t group) const { return total_sums.defined() ? total_sums.data_ptr<float>() + group * total_sums.size(1) : totals; }
  void finish() const {
    if (sums.defined()) add_groups(out, sums);
    if (total_sums.defined()) add_groups(totals, total_sums);
  }

  SampledEntries entries;
  Numbers<T> gradient;
  float *out, *totals;
  std::optional<ColumnSet> wanted;  // rows
  torch::Tensor sums, total_sums;
};

// Each thread makes all that it reads: to read lines that another core has just written takes longer than to turn them again. So the threads
// share out the groups of tokens, and the rows where groups are fewer, each with the whole input; or, where the input is the wider of the
// two, the columns, each with the whole gradient, and never more of them than stay in the second cache.
template <class T>
void add_products(const std::vector<SampledLinear>& wanted, const TokenOperand& input, SampledDots<T> dots, TurnBlock<T> turn_block) {
  constexpr int64_t kTokens = 1024 / sizeof(T), kRows = 128, kRowStep = kTurnBlock<uint16_t>;  // whole blocks are turned, or sums would have other bits with other threads
  const int64_t count = input.count(), columns = input.channels(), line = spaced_line(rounded_to_lanes(std::min(count, kTokens)), sizeof(T));
  const TokenGroups groups(count, kTokens);
  int64_t all_rows = 0;
  for (const SampledLinear& layer : wanted) all_rows += layer.gradient.channels();
  const bool by_columns = columns > all_rows;
  const int64_t near = by_columns ? columns_together(columns, columns, line * sizeof(T)) : columns;  // columns that stay near while all rows pass
  const int64_t parts = std::max((at::get_num_threads() + groups.count - 1) / groups.count, (columns + near - 1) / near);  // of a group
  std::vector<Layer<T>> layers;
  for (const SampledLinear& layer : wanted) layers.emplace_back(layer, columns, line, by_columns ? parts : 1, groups.count);
  const Numbers<T> right(input);
  const std::optional<ColumnSet> wanted_columns = columns_with_entries(wanted, columns);
  std::vector<int64_t> column_starts(columns);
  for (int64_t c = 0; c < columns; ++c) column_starts[c] = c * line;

  const auto add_layer = [&](const Layer<T>& layer, int64_t group, int64_t part, Range tokens, Range blocks, T* left_lines, const T* right_lines) {
    const int64_t length = rounded_to_lanes(tokens.size());
    const Range all = by_columns ? Range{0, layer.entries.rows()} : Range{layer.entries.first_row(part, parts, kRowStep), layer.entries.first_row(part + 1, parts, kRowStep)};
    for (Range rows{all.begin, 0}; rows.begin < all.end; rows.begin = rows.end) {
      rows.end = std::min(all.end, rows.begin + kRows);
      layer.gradient.turn(left_lines, line, tokens, rows, length, turn_block, layer.wanted, by_columns && part > 0 ? nullptr : layer.totals_of(group));
      add_rows(layer.sums_of(group), layer.entries, rows, blocks, left_lines, line, right_lines, column_starts.data(), length, dots);
    }
  };
  const int64_t units = groups.count * parts;
  const torch::Tensor lines = torch::empty({unit_workers(units), kRows + columns, line}, right.options());
  take_units(units, [&](int64_t worker, int64_t unit) {
    T* const left_lines = static_cast<T*>(lines.data_ptr()) + worker * lines.stride(0);
    T* const right_lines = left_lines + kRows * line;
    const int64_t group_index = unit / parts, part = unit % parts;
    const Range group = groups.group(group_index);
    for (Range tokens{group.begin, 0}; tokens.begin < group.end; tokens.begin = tokens.end) {
      tokens.end = std::min(group.end, tokens.begin + kTokens);
      const SampledEntries& entries = layers.front().entries;  // all layers' blocks are cut alike
      const Range blocks = by_columns ? Range{entries.blocks() * part / parts, entries.blocks() * (part + 1) / parts} : Range{0, entries.blocks()};
      const Range mine{entries.column(blocks.begin), entries.column(blocks.end)};
      right.turn(right_lines + mine.begin * line, line, tokens, mine, rounded_to_lanes(tokens.size()), turn_block, wanted_columns);
      for (const Layer<T>& layer : layers) add_layer(layer, group_index, part, tokens, blocks, left_lines, right_lines);
    }
  });
  for (const Layer<T>& layer : layers) layer.finish();
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

void sampled_linear_add_(const std::vector<SampledLinear>& layers, const TokenOperand& input) {
  RECORD_FUNCTION("sara::sampled_linear", {});
  for (const auto& [out, indices, row_starts, gradient, sums] : layers) {
    SARA_CHECK(out.is_contiguous() && out.numel() == indices.numel() && out.scalar_type() == torch::kFloat && row_starts.numel() == gradient.channels() + 1);
    SARA_CHECK(gradient.count() == input.count() && gradient.given().scalar_type() == input.given().scalar_type());
    SARA_CHECK(!sums.defined() || (sums.is_contiguous() && sums.scalar_type() == torch::kFloat && sums.numel() == gradient.channels()));
  }
  if (layers.empty()) return;
  if (sampled_dtype(input.given().scalar_type()) == torch::kBFloat16)
    add_products<uint16_t>(layers, input, sampled_dots_bf16(), turn_block_bf16());
  else
    add_products<float>(layers, input, sampled_dots_f32(), turn_block_f32());
}

}  // namespace sara
