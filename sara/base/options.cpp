// SPDX-License-Identifier: Apache-2.0
#include "sara/base/options.h"

#include <algorithm>
#include <cmath>

#include "sara/base/error.h"

namespace sara {
namespace {

size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

bool Legal::allows(double value) const {
  if (std::isnan(value)) return false;
  return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
}

bool Legal::allows(const std::string& value) const {
  return choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end();
}

std::string Legal::text() const {
  if (!choices.empty()) {
    std::string out = "one of ";
    for (size_t i = 0; i < choices.size(); ++i) out += (i ? ", " : "") + choices[i];
    return out;
  }
  const bool has_low = std::isfinite(low), has_high = std::isfinite(high);
  if (has_low && has_high) return message("in ", low_open ? "(" : "[", low, ", ", high, high_open ? ")" : "]");
  if (has_low) return message(low_open ? "> " : ">= ", low);
  if (has_high) return message(high_open ? "< " : "<= ", high);
  return "any value";
}

std::optional<std::string> nearest_name(const std::string& name, const std::vector<std::string>& known) {
  std::optional<std::string> best;
  size_t least = name.size() / 3 + 2;
  for (const auto& candidate : known) {
    const size_t distance = edit_distance(name, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

namespace detail {

void OptionCheck::number(const char* name, double value, const Legal& legal) {
  if (!legal.allows(value)) problems.push_back(message(name, ": out of range (expected ", legal.text(), ", got ", value, ")"));
}

void OptionCheck::word(const char* name, const std::string& value, const Legal& legal) {
  if (!legal.allows(value)) problems.push_back(message(name, ": unknown value (expected ", legal.text(), ", got ", escaped(value), ")"));
}

void OptionCheck::finish() const {
  if (problems.empty()) return;
  throw InvalidArgument(first_five(problems, "; ") + ". Fix: correct the value");
}

}  // namespace detail
}  // namespace sara
