// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/threshold.h"

#include <bit>
#include <cctype>
#include <cmath>
#include <limits>

#include "sara/base/error.h"
#include "sara/sparse/ranking.h"

namespace sara {

int64_t parse_budget(const std::string& budget, int64_t total) {
  const auto refuse = [&](const std::string& why) {
    throw InvalidArgument(message("budget: ", why, " (expected a count such as 5000 or 50M, or a share such as 5%, of at most ",
                                  total, " weights, got '", escaped(budget), "'). Fix: correct the budget"));
  };
  double number = 0;
  size_t used = 0;
  const bool numeric = !budget.empty() && (std::isdigit(static_cast<unsigned char>(budget[0])) || budget[0] == '.');
  if (!numeric || budget.find_first_of("xX") != std::string::npos) refuse("not a number");
  try {
    number = std::stod(budget, &used);
  } catch (const std::exception&) {
    refuse("not a number");
  }
  const std::string unit = budget.substr(used);
  if (unit == "%") number = number * static_cast<double>(total) / 100;
  else if (unit == "k" || unit == "K") number *= 1e3;
  else if (unit == "m" || unit == "M") number *= 1e6;
  else if (unit == "b" || unit == "B") number *= 1e9;
  else if (!unit.empty()) refuse("unknown unit");
  if (!(number <= static_cast<double>(total))) refuse("more than there is");
  const auto count = static_cast<int64_t>(std::llround(number));
  if (count < 1) refuse("nothing would be selected");
  return count;
}

double threshold_for_count(const NamedTensors& tensors, int64_t count) {
  // Of the ties at this magnitude `wanted` are asked for; taking all misses by ties - wanted, none by wanted.
  const RankBound bound = rank_bound(tensors, smallest_first(), count);
  const auto magnitude = std::bit_cast<float>(bound.rank);
  const int64_t wanted = count - bound.lower;
  const bool take = bound.lower == 0 || bound.ties - wanted <= wanted;
  return take ? std::nextafter(magnitude, std::numeric_limits<float>::infinity()) : magnitude;
}

}  // namespace sara
