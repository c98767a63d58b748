// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Parallel.h>
#include <torch/types.h>

#include <cmath>

#include "sara/ops/attention_kernel.h"

namespace sara {

// Calls run(offset of the queries' numbers, of the keys' numbers, of log_sum, memory) for every head of every picture. The memory ends
// with `more` floats of the caller's.
template <class Run>
void for_each_head(const HeadShape& shape, int64_t batch, int64_t heads, const Run& run, int64_t more = 0) {
  const int64_t floats = (attention_work_floats(shape) + more + 15) / 16 * 16;
  const torch::Tensor memory = torch::empty({at::get_num_threads(), floats}, torch::kFloat);
  float* const start = memory.data_ptr<float>();
  at::parallel_for(0, batch * heads, 1, [&](int64_t begin, int64_t end) {
    float* const work = start + at::get_thread_num() * floats;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t picture = i / heads, channel = i % heads * shape.channels;
      run(picture * shape.queries * shape.stride + channel, picture * shape.keys * shape.stride + channel, i * shape.queries, work);
    }
  });
}

inline HeadShape head_shape(const torch::Tensor& q, const torch::Tensor& k, int64_t heads) {
  const int64_t channels = q.size(2) / heads;
  return {q.size(1), k.size(1), channels, q.size(2), static_cast<float>(1 / std::sqrt(double(channels)))};
}

}  // namespace sara
