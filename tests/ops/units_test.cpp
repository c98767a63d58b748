// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/units.h"

#include <gtest/gtest.h>

#include <vector>

namespace sara {
namespace {

TEST(Units, EachIsDoneOnceByAThreadThatIsCounted) {
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 5})
    for (const int64_t count : {0, 1, 4, 1000}) {
      at::set_num_threads(threads);
      std::vector<std::atomic<int>> done(count);
      take_units(count, [&](int64_t worker, int64_t unit) { done[unit] += worker >= 0 && worker < unit_workers(count) ? 1 : 100; });
      for (const auto& times : done) ASSERT_EQ(times, 1) << count << " units, " << threads << " threads";
    }
  at::set_num_threads(before);
}

TEST(Units, WorkersHaveNoMoreThanOneUnitAtATime) {
  const int before = at::get_num_threads();
  at::set_num_threads(4);
  std::vector<std::atomic<bool>> is_busy(unit_workers(200));
  std::atomic<bool> met{false};
  take_units(200, [&](int64_t worker, int64_t) {
    if (is_busy[worker].exchange(true)) met = true;
    is_busy[worker] = false;
  });
  at::set_num_threads(before);
  EXPECT_FALSE(met);
}

}  // namespace
}  // namespace sara
