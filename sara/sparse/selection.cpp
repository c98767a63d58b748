// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/selection.h"

#include <algorithm>
#include <cmath>
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

}  // namespace

Selection select(const NamedTensors& scope, const SelectionRequest& request) {
  if (request.threshold && request.budget)
    throw InvalidArgument("threshold, budget: one fixes the other (expected one of them, got both). Fix: leave one out");
  const int64_t total = weight_count(scope);
  if (total == 0) throw InvalidArgument("include, exclude: no trainable weight is left. Fix: widen the patterns");
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

}  // namespace sara
