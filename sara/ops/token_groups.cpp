// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/token_groups.h"

#include <ATen/Parallel.h>

#include "sara/ops/vectorized.h"

namespace sara {
namespace {

SARA_VECTORIZED void add_floats(float* to, const float* from, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace

void GroupSums::finish() const {
  if (!sums_.defined()) return;
  constexpr int64_t kTogether = 4096;
  const int64_t entries = sums_.size(1);
  at::parallel_for(0, (entries + kTogether - 1) / kTogether, 4, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * kTogether; first < std::min(entries, end * kTogether); first += kTogether)
      for (int64_t group = 0; group < sums_.size(0); ++group)
        add_floats(out_ + first, sums_.const_data_ptr<float>() + group * entries + first, std::min(kTogether, entries - first));
  });
}

}  // namespace sara
