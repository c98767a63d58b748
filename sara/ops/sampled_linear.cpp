// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_linear.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <optional>

#include "sara/base/error.h"
#include "sara/ops/sampled_rows.h"
#include "sara/ops/token_groups.h"
#include "sara/ops/token_lines.h"
#include "sara/ops/units.h"

namespace sara {
namespace {

// One layer on its way: its numbers, its entries' sums and its gradient's.
template <class T>
struct Layer {
  Layer(const SampledLinear& wanted, int64_t columns, int64_t line, int64_t parts, int64_t groups)
      : entries(SampledEntries::of(wanted.positions, {columns, columns, line * static_cast<int64_t>(sizeof(T)), parts, kTurnBlock<T>})), gradient(wanted.gradient),
        sums(wanted.out.data_ptr<float>(), wanted.out.numel(), groups),
        totals(wanted.gradient_sums.defined() ? wanted.gradient_sums.data_ptr<float>() : nullptr, wanted.gradient.channels(), groups) {}

  void clear(int64_t group) const { sums.clear(group), totals.clear(group); }
  void finish() const { sums.finish(), totals.finish(); }

  std::shared_ptr<const SampledEntries> entries;
  TokenLines<T> gradient;
  GroupSums sums, totals;
};

// The input's columns that any of the layers wants; null where nearly all are.
template <class T>
std::optional<ColumnSet> wanted_columns(const std::vector<Layer<T>>& layers, int64_t columns) {
  ColumnSet wanted(columns);
  for (const Layer<T>& layer : layers) {
    if (!layer.entries->wanted_columns()) return std::nullopt;
    wanted.insert(*layer.entries->wanted_columns());
  }
  return wanted;
}

// Each thread makes all that it reads: to read lines that another core has just written takes longer than to turn them again. The narrower side is
// turned whole, the wider one some lines at a time, each once: the gradients' rows, or the input's columns. Threads share out the groups of tokens
// and, where groups are fewer, parts of the wider side.
template <class T>
class Products {
 public:
  Products(const std::vector<SampledLinear>& wanted, const TokenOperand& input, SampledDots<T> dots, TurnBlock<T> turn_block)
      : dots_(dots), turn_block_(turn_block), input_(input), groups_(input.count(), kDotsLength<T>), line_(spaced_line(groups_.piece, sizeof(T))),
        parts_((at::get_num_threads() + groups_.count - 1) / groups_.count) {
    const int64_t columns = input.channels();
    int64_t rows = 0;
    for (const SampledLinear& layer : wanted) rows += layer.gradient.channels();
    by_columns_ = columns > rows;
    for (const SampledLinear& layer : wanted) layers_.emplace_back(layer, columns, line_, by_columns_ ? parts_ : 1, groups_.count);
    const int64_t together = by_columns_ ? blocks().column(1) : columns;
    wanted_columns_ = wanted_columns(layers_, columns);
    column_starts_.resize(columns);
    for (int64_t c = 0; c < columns; ++c) column_starts_[c] = c % together * line_;
    right_ = (by_columns_ ? rows : kRows) * line_;
    numbers_ = right_ + together * line_;
  }

  void add() const {
    const int64_t units = groups_.count * parts_;
    const torch::Tensor memory = torch::empty({unit_workers(units), numbers_}, input_.options());
    const auto clear = [&](int64_t group) {
      for (const Layer<T>& layer : layers_) layer.clear(group);
    };
    for (int64_t group = 0; parts_ > 1 && group < groups_.count; ++group) clear(group);
    take_units(units, [&](int64_t worker, int64_t unit) {
      if (parts_ == 1) clear(unit);
      T* const lines = static_cast<T*>(memory.data_ptr()) + worker * numbers_;
      const Range group = groups_.group(unit / parts_);
      for (Range tokens{group.begin, 0}; tokens.begin < group.end; tokens.begin = tokens.end) {
        tokens.end = std::min(group.end, tokens.begin + groups_.piece);
        by_columns_ ? add_by_columns(unit / parts_, unit % parts_, tokens, lines) : add_by_rows(unit / parts_, unit % parts_, tokens, lines);
      }
    });
    for (const Layer<T>& layer : layers_) layer.finish();
  }

 private:
  static constexpr int64_t kRows = 128;                      // of a gradient's lines that are made together
  static constexpr int64_t kRowStep = kTurnBlock<uint16_t>;  // whole blocks are turned, or sums would have other bits with other threads

  const SampledEntries& blocks() const { return *layers_.front().entries; }  // all layers' columns are cut alike

  // The whole input, then some rows of each gradient after the other.
  void add_by_rows(int64_t group, int64_t part, Range tokens, T* lines) const {
    const auto rows_of = [&](const Layer<T>& layer) { return Range{layer.entries->first_row(part, parts_, kRowStep), layer.entries->first_row(part + 1, parts_, kRowStep)}; };
    if (std::none_of(layers_.begin(), layers_.end(), [&](const Layer<T>& layer) { return rows_of(layer).size() > 0; })) return;
    turn_input(lines, tokens, {0, input_.channels()});
    for (const Layer<T>& layer : layers_) {
      const Range mine = rows_of(layer);
      for (Range rows{mine.begin, 0}; rows.begin < mine.end; rows.begin = rows.end) {
        rows.end = std::min(mine.end, rows.begin + kRows);
        turn_gradient(layer, lines, group, tokens, rows, true);
        add(layer, lines, lines, group, tokens, rows, {0, blocks().blocks()});
      }
    }
  }

  // All gradients, then some columns of the input after the other.
  void add_by_columns(int64_t group, int64_t part, Range tokens, T* lines) const {
    const Range mine{blocks().blocks() * part / parts_, blocks().blocks() * (part + 1) / parts_};
    if (part > 0 && blocks().column(mine.begin) == blocks().column(mine.end)) return;
    T* next = lines;
    for (const Layer<T>& layer : layers_) next = turn_gradient(layer, next, group, tokens, {0, layer.entries->rows()}, part == 0);
    for (int64_t block = mine.begin; block < mine.end; ++block) {
      turn_input(lines, tokens, {blocks().column(block), blocks().column(block + 1)});
      const T* left = lines;
      for (const Layer<T>& layer : layers_) {
        add(layer, left, lines, group, tokens, {0, layer.entries->rows()}, {block, block + 1});
        left += layer.entries->rows() * line_;
      }
    }
  }

  void turn_input(T* lines, Range tokens, Range columns) const {
    input_.turn(lines + right_, line_, tokens, columns, rounded_to_lanes(tokens.size()), turn_block_, wanted_columns_ ? &*wanted_columns_ : nullptr);
  }

  // -> behind the lines
  T* turn_gradient(const Layer<T>& layer, T* lines, int64_t group, Range tokens, Range rows, bool with_sums) const {
    layer.gradient.turn(lines, line_, tokens, rows, rounded_to_lanes(tokens.size()), turn_block_, layer.entries->wanted_rows(), with_sums ? layer.totals.of(group) : nullptr);
    return lines + rows.size() * line_;
  }

  void add(const Layer<T>& layer, const T* left, const T* lines, int64_t group, Range tokens, Range rows, Range blocks) const {
    add_rows(layer.sums.of(group), *layer.entries, rows, blocks, left, line_, lines + right_, column_starts_.data(), rounded_to_lanes(tokens.size()), dots_);
  }

  SampledDots<T> dots_;
  TurnBlock<T> turn_block_;
  TokenLines<T> input_;
  TokenGroups groups_;
  int64_t line_, parts_;
  bool by_columns_;
  std::vector<Layer<T>> layers_;
  std::optional<ColumnSet> wanted_columns_;
  std::vector<int64_t> column_starts_;
  int64_t right_, numbers_;  // of a thread's lines: before those of the input, all
};

}  // namespace

void sampled_linear_add_(const std::vector<SampledLinear>& layers, const TokenOperand& input) {
  RECORD_FUNCTION("sara::sampled_linear", {});
  for (const auto& [out, positions, gradient, sums] : layers) {
    const auto& [indices, row_starts, kept] = positions;
    SARA_CHECK(out.is_contiguous() && out.numel() == indices.numel() && out.scalar_type() == torch::kFloat && row_starts.numel() == gradient.channels() + 1);
    SARA_CHECK(gradient.count() == input.count() && gradient.given().scalar_type() == input.given().scalar_type());
    SARA_CHECK(!sums.defined() || (sums.is_contiguous() && sums.scalar_type() == torch::kFloat && sums.numel() == gradient.channels()));
  }
  if (layers.empty()) return;
  if (sampled_dtype(input.given().scalar_type()) == torch::kBFloat16)
    Products<uint16_t>(layers, input, sampled_dots_bf16(), turn_block_bf16()).add();
  else
    Products<float>(layers, input, sampled_dots_f32(), turn_block_f32()).add();
}

}  // namespace sara
