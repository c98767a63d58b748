// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/launch.h"
#include "sara/cuda/numbers.cuh"
#include "sara/cuda/tree.cuh"

namespace sara::cuda {

// out[k] += sum_t left[t, row(k)] · right[t, column(k)] for flat positions indices[k] of a [rows, columns] matrix: single entries of
// a linear layer's weight gradient. Numbers lie at t · token + channel · 1. A block takes 32 entries, whose columns are neighbours more
// often than not, with 8 threads each that share out the tokens. fp32 sums in an order that `tokens` alone decides.
template <class T>
struct SampledLinear {
  static constexpr int kEntries = 32, kLanes = 8, kThreads = kEntries * kLanes, kSteps = steps_of(kLanes), kPhases = kSteps + 2;
  struct Shared {
    float sums[kEntries][kLanes];
  };
  float* out;
  const int32_t* indices;
  int64_t count, columns;
  const T *left, *right;
  int64_t left_token, right_token;  // from one token to the next
  int64_t tokens;

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t block, int thread) const {
    const int entry = thread % kEntries, lane = thread / kEntries;
    const int64_t k = block * kEntries + entry;
    if (k >= count) return;
    if (phase == 0) {
      const T* a = left + indices[k] / columns;
      const T* b = right + indices[k] % columns;
      float sum = 0;
      for (int64_t t = lane; t < tokens; t += kLanes) sum += to_float(a[t * left_token]) * to_float(b[t * right_token]);
      shared.sums[entry][lane] = sum;
    } else if (phase <= kSteps) {
      tree_step<kLanes>(shared.sums[entry], phase - 1, lane);
    } else if (lane == 0) {
      out[k] += shared.sums[entry][0];
    }
  }
};

// The same for a convolution: indices[k] = ((o · channels + c) · kernel + kh) · kernel + kw, and
//   out[k] += sum_{b,h,w} left[b, o, h, w] · right[b, c, h · stride + kh - padding, w · stride + kw - padding],
// left [batch, rows, out_height, out_width] and right [batch, channels, height, width] contiguous. A block takes 8 entries, with 32
// neighbouring threads each that read neighbouring positions.
template <class T>
struct SampledConvolution {
  static constexpr int kEntries = 8, kLanes = 32, kThreads = kEntries * kLanes, kSteps = steps_of(kLanes), kPhases = kSteps + 2;
  struct Shared {
    float sums[kEntries][kLanes];
  };
  float* out;
  const int32_t* indices;
  int64_t count;
  const T *left, *right;
  int64_t batch, rows, channels;
  int height, width, out_height, out_width, kernel, stride, padding;

  SARA_HOST_DEVICE float partial_sum(int64_t index, int lane) const {
    const int kw = static_cast<int>(index % kernel), kh = static_cast<int>(index / kernel % kernel), area = out_height * out_width;
    const int64_t c = index / (kernel * kernel) % channels, o = index / (kernel * kernel) / channels;
    float sum = 0;
    for (int64_t b = 0; b < batch; ++b) {
      const T* a = left + (b * rows + o) * area;
      const T* x = right + (b * channels + c) * height * width;
      for (int position = lane; position < area; position += kLanes) {
        const int h = position / out_width * stride + kh - padding, w = position % out_width * stride + kw - padding;
        if (h >= 0 && h < height && w >= 0 && w < width) sum += to_float(a[position]) * to_float(x[h * width + w]);
      }
    }
    return sum;
  }

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t block, int thread) const {
    const int entry = thread / kLanes, lane = thread % kLanes;
    const int64_t k = block * kEntries + entry;
    if (k >= count) return;
    if (phase == 0)
      shared.sums[entry][lane] = partial_sum(indices[k], lane);
    else if (phase <= kSteps)
      tree_step<kLanes>(shared.sums[entry], phase - 1, lane);
    else if (lane == 0)
      out[k] += shared.sums[entry][0];
  }
};

}  // namespace sara::cuda
