// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

namespace sara {

// How many threads take_units() gives work to.
inline int64_t unit_workers(int64_t count) { return std::clamp<int64_t>(at::get_num_threads(), 1, std::max<int64_t>(1, count)); }

// work(worker, unit) for every unit < count, each once, in no order; worker < unit_workers(count) tells threads apart. A thread takes the next unit that
// is left when it has done one, so that a thread that is held up leaves more to the others.
template <class Work>
void take_units(int64_t count, const Work& work) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, unit_workers(count), 1, [&](int64_t begin, int64_t end) {
    for (int64_t worker = begin; worker < end; ++worker)
      for (int64_t unit = next.fetch_add(1); unit < count; unit = next.fetch_add(1)) work(worker, unit);
  });
}

}  // namespace sara
