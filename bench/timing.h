// SPDX-License-Identifier: Apache-2.0
// What the benches share: wall-clock medians, two ways in turn (A B A B) so that a slow minute hits both.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>
#include <vector>

namespace sara::bench {

inline double milliseconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Median milliseconds of both, after one round that does not count.
inline std::pair<double, double> in_turn(int repeats, const std::function<void()>& first, const std::function<void()>& second) {
  std::vector<double> a, b;
  for (int i = -1; i < repeats; ++i) {
    const double one = milliseconds(first), other = milliseconds(second);
    if (i < 0) continue;
    a.push_back(one);
    b.push_back(other);
  }
  return {median(a), median(b)};
}

}  // namespace sara::bench
