// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/launch.h"
#include "sara/cuda/numbers.cuh"
#include "sara/cuda/tree.cuh"

namespace sara::cuda {

// The parts of ops/layer_norm.h. x [tokens, channels] contiguous; mean and rstd [tokens], weight and bias [channels], all fp32. In the
// first two a block is one token.

// mean, and 1 / sqrt(variance + eps) from the squares about it.
template <class T>
struct TokenStatistics {
  static constexpr int kThreads = 128, kSteps = steps_of(kThreads), kPhases = 2 * kSteps + 3;
  struct Shared {
    float sums[kThreads], squares[kThreads];
  };
  float *mean, *rstd;
  const T* x;
  int64_t channels;
  float eps;

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t block, int thread) const {
    const T* token = x + block * channels;
    if (phase == 0) {
      float sum = 0;
      for (int64_t c = thread; c < channels; c += kThreads) sum += to_float(token[c]);
      shared.sums[thread] = sum;
    } else if (phase <= kSteps) {
      tree_step<kThreads>(shared.sums, phase - 1, thread);
    } else if (phase == kSteps + 1) {
      const float middle = shared.sums[0] / static_cast<float>(channels);
      float sum = 0;
      for (int64_t c = thread; c < channels; c += kThreads) sum += (to_float(token[c]) - middle) * (to_float(token[c]) - middle);
      shared.squares[thread] = sum;
    } else if (phase <= 2 * kSteps + 1) {
      tree_step<kThreads>(shared.squares, phase - kSteps - 2, thread);
    } else if (thread == 0) {
      mean[block] = shared.sums[0] / static_cast<float>(channels);
      rstd[block] = 1.0f / sqrtf(shared.squares[0] / static_cast<float>(channels) + eps);
    }
  }
};

template <class T>
struct LayerNormApply {
  static constexpr int kThreads = 128, kPhases = 1;
  struct Shared {};
  T* y;
  const T* x;
  const float *mean, *rstd, *weight, *bias;
  int64_t channels;

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    for (int64_t c = thread; c < channels; c += kThreads)
      store(y + block * channels + c, (to_float(x[block * channels + c]) - mean[block]) * rstd[block] * weight[c] + bias[c]);
  }
};

// dx = rstd (g - mean(g) - u mean(g u)) + add, g = dy weight, u = (x - mean) rstd; `add` may be null.
template <class T>
struct LayerNormInputGradient {
  static constexpr int kThreads = 128, kSteps = steps_of(kThreads), kPhases = kSteps + 2;
  struct Shared {
    float gradients[kThreads], products[kThreads];
  };
  T* out;
  const T *gradient, *x, *add;
  const float *mean, *rstd, *weight;
  int64_t channels;

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t block, int thread) const {
    const int64_t first = block * channels;
    const float middle = mean[block], scale = rstd[block];
    if (phase == 0) {
      float sum = 0, product = 0;
      for (int64_t c = thread; c < channels; c += kThreads) {
        const float inner = to_float(gradient[first + c]) * weight[c];
        sum += inner;
        product += inner * ((to_float(x[first + c]) - middle) * scale);
      }
      shared.gradients[thread] = sum;
      shared.products[thread] = product;
    } else if (phase <= kSteps) {
      tree_step<kThreads>(shared.gradients, phase - 1, thread);
      tree_step<kThreads>(shared.products, phase - 1, thread);
    } else {
      const float sum = shared.gradients[0] / static_cast<float>(channels), product = shared.products[0] / static_cast<float>(channels);
      for (int64_t c = thread; c < channels; c += kThreads) {
        const float unit = (to_float(x[first + c]) - middle) * scale;
        const float own = scale * (to_float(gradient[first + c]) * weight[c] - sum - unit * product);
        store(out + first + c, add ? own + to_float(add[first + c]) : own);
      }
    }
  }
};

// Sums over kTokens tokens of dy u and of dy: parts of the gradients of weight and bias, [chunks, channels]. A block is 32 channels of
// one chunk, with 8 threads each that share out the tokens.
template <class T>
struct LayerNormColumnSums {
  static constexpr int kChannels = 32, kLanes = 8, kThreads = kChannels * kLanes, kTokens = 256, kSteps = steps_of(kLanes), kPhases = kSteps + 2;
  struct Shared {
    float gradients[kChannels][kLanes], products[kChannels][kLanes];
  };
  float *weight_parts, *bias_parts;
  const T *gradient, *x;
  const float *mean, *rstd;
  int64_t tokens, channels;

  SARA_HOST_DEVICE static int64_t blocks_across(int64_t channels) { return (channels + kChannels - 1) / kChannels; }

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t block, int thread) const {
    const int column = thread % kChannels, lane = thread / kChannels;
    const int64_t chunk = block / blocks_across(channels), c = block % blocks_across(channels) * kChannels + column;
    if (c >= channels) return;
    if (phase == 0) {
      float sum = 0, product = 0;
      for (int64_t t = chunk * kTokens + lane; t < (chunk + 1) * kTokens && t < tokens; t += kLanes) {
        const float g = to_float(gradient[t * channels + c]);
        sum += g;
        product += g * ((to_float(x[t * channels + c]) - mean[t]) * rstd[t]);
      }
      shared.gradients[column][lane] = sum;
      shared.products[column][lane] = product;
    } else if (phase <= kSteps) {
      tree_step<kLanes>(shared.gradients[column], phase - 1, lane);
      tree_step<kLanes>(shared.products[column], phase - 1, lane);
    } else if (lane == 0) {
      bias_parts[chunk * channels + c] = shared.gradients[column][0];
      weight_parts[chunk * channels + c] = shared.products[column][0];
    }
  }
};

}  // namespace sara::cuda
