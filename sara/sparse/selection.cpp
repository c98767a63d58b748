// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/selection.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "sara/base/error.h"
#include "sara/sparse/magnitude.h"
#include "sara/sparse/scope.h"
#include "sara/sparse/threshold.h"

namespace sara {
namespace {

std::string percent(int64_t part, int64_t whole) {
  const double share = whole ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0;
  return message(share, " %");
}

// The five largest tensors and the total: "  unet.conv_in.weight  12 of 11520 (0.104167 %)".
std::string share_table(const NamedTensors& scope, const std::vector<int64_t>& counts, int64_t selected, int64_t total) {
  std::vector<size_t> order(scope.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scope[a].second.numel() > scope[b].second.numel(); });
  std::string out;
  for (size_t i = 0; i < std::min<size_t>(5, order.size()); ++i) {
    const auto& [name, tensor] = scope[order[i]];
    out += message("\n  ", name, "  ", counts[order[i]], " of ", tensor.numel(), " (", percent(counts[order[i]], tensor.numel()), ")");
  }
  return out + message("\n  all ", scope.size(), " tensors  ", selected, " of ", total, " (", percent(selected, total), ")");
}

Selection select_below(const NamedTensors& scope, const SelectionRequest& request) {
  if (request.threshold && request.budget)
    throw InvalidArgument("threshold, budget: one fixes the other (expected one of them, got both). Fix: leave one out");
  const int64_t total = weight_count(scope);
  double threshold = request.threshold.value_or(kDefaultThreshold);
  if (request.budget) {
    threshold = threshold_for_count(scope, parse_budget(*request.budget, total));
    if (!std::isfinite(threshold)) threshold = kDefaultThreshold;  // the count below finds the NaN and refuses it
  }
  const std::vector<int64_t> counts = counts_below(scope, threshold);
  const int64_t selected = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (!request.force && (selected == 0 || selected > total / 2)) {
    const double suggested = threshold_for_count(scope, std::max<int64_t>(1, total / 20));
    throw InvalidArgument(message("threshold: ", threshold, " selects ", percent(selected, total),
                                  " of the weights (expected more than 0 % and at most 50 %, got ", selected, " of ", total,
                                  "). Fix: use ", suggested, ", which gives about 5 %, or force it",
                                  share_table(scope, counts, selected, total)));
  }
  Selection out{{}, threshold, selected, total};
  for (const auto& [name, tensor] : scope) out.mask.push_back({name, tensor, indices_below(tensor, threshold)});
  return out;
}

// The budget as a number of weights, of which at most half unless forced; and the threshold of a rule that does not need one.
int64_t required_count(const SelectionRequest& request, int64_t total) {
  if (!request.budget)
    throw InvalidArgument(message("budget: selection ", request.rule, " needs one (expected a count such as 50M or a share such as 5%). Fix: give a budget"));
  const int64_t count = parse_budget(*request.budget, total);
  if (!request.force && count > total / 2)
    throw InvalidArgument(message("budget: ", *request.budget, " selects ", percent(count, total), " of the weights (expected at most 50 %, got ", count,
                                  " of ", total, "). Fix: use a smaller budget, or force it"));
  return count;
}

double reselection_bound(const SelectionRequest& request) {
  if (request.threshold) magnitude_limit(*request.threshold);  // throws
  return request.threshold.value_or(std::numeric_limits<double>::infinity());
}

// The budget's number of weights of one order over the whole model.
Selection select_ranked(const NamedTensors& scope, const SelectionRequest& request, const Ranking& ranking) {
  const int64_t total = weight_count(scope), count = required_count(request, total);
  const double bound = reselection_bound(request);
  counts_below(scope, kDefaultThreshold);  // refuses NaN
  const RankBound last = rank_bound(scope, ranking, count);
  if (request.rule == "changed" && last.rank == kUnchangedRank)
    throw InvalidArgument(message("budget: more than the weights that the tuned model moved (expected at most ", last.lower, ", got ", count,
                                  "). Fix: use a smaller budget, or a model tuned further"));
  return {first_ranked(scope, ranking, count, last), bound, count, total};
}

Selection select_largest(const NamedTensors& scope, const SelectionRequest& request) { return select_ranked(scope, request, largest_first()); }

Selection select_random(const NamedTensors& scope, const SelectionRequest& request) {
  return select_ranked(scope, request, random_order(request.seed));
}

Selection select_changed(const NamedTensors& scope, const SelectionRequest& request) {
  if (!request.tuned) throw InvalidArgument("tuned: selection changed compares with a tuned model (expected one, got none). Fix: give the tuned model");
  return select_ranked(scope, request, most_changed_first(request.tuned));
}

// Of a tensor whose weights are the `before`-th to the `after`-th of the model, its part of `count`; all parts add up to count.
int64_t even_part(int64_t before, int64_t after, int64_t count, int64_t total) {
  const auto share = [&](int64_t weights) { return static_cast<int64_t>(static_cast<__int128>(weights) * count / total); };
  return share(after) - share(before);
}

Selection select_smallest_per_tensor(const NamedTensors& scope, const SelectionRequest& request) {
  const int64_t total = weight_count(scope), count = required_count(request, total);
  Selection out{{}, reselection_bound(request), count, total};
  counts_below(scope, kDefaultThreshold);  // refuses NaN
  int64_t before = 0;
  for (const auto& item : scope) {
    const int64_t part = even_part(before, before + item.second.numel(), count, total);
    before += item.second.numel();
    if (part > 0)
      out.mask.push_back(first_ranked({item}, smallest_first(), part, rank_bound({item}, smallest_first(), part)).front());
    else
      out.mask.push_back({item.first, item.second, torch::empty({0}, torch::TensorOptions(item.second.device()).dtype(torch::kInt))});
  }
  return out;
}

struct Rule {
  const char* name;
  Selection (*select)(const NamedTensors&, const SelectionRequest&);
};

constexpr Rule kRules[] = {{"below", select_below},
                           {"largest", select_largest},
                           {"random", select_random},
                           {"smallest_per_tensor", select_smallest_per_tensor},
                           {"changed", select_changed}};

}  // namespace

std::vector<std::string> selection_names() {
  std::vector<std::string> out;
  for (const Rule& rule : kRules) out.emplace_back(rule.name);
  return out;
}

Selection select(const NamedTensors& scope, const SelectionRequest& request) {
  if (weight_count(scope) == 0) throw InvalidArgument("include, exclude: no trainable weight is left. Fix: widen the patterns");
  if (request.tuned && request.rule != "changed")
    throw InvalidArgument(message("tuned: no effect with selection ", request.rule, ". Fix: leave it out, or use selection changed"));
  for (const Rule& rule : kRules)
    if (request.rule == rule.name) return rule.select(scope, request);
  throw InvalidArgument(message("selection: unknown rule (expected one of ", first_five(selection_names()), ", got '", escaped(request.rule), "'). Fix: correct the name"));
}

}  // namespace sara
