// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/launch.h"
#include "sara/cuda/numbers.cuh"
#include "sara/cuda/tree.cuh"

namespace sara::cuda {

// The parts of ops/group_norm.h. x [batch, channels, area] contiguous; statistics [batch, groups], weight and bias [channels], all fp32.
struct GroupShape {
  int64_t batch, channels, groups, area;
  SARA_HOST_DEVICE int64_t group_channels() const { return channels / groups; }
  SARA_HOST_DEVICE int64_t group_size() const { return group_channels() * area; }
};

// mean, and 1 / sqrt(variance + eps) from the squares about it. A block is one group of one picture.
template <class T>
struct GroupStatistics {
  static constexpr int kThreads = 512, kSteps = steps_of(kThreads), kPhases = 2 * kSteps + 3;
  struct Shared {
    float sums[kThreads], squares[kThreads];
  };
  float *mean, *rstd;
  const T* x;
  GroupShape shape;
  float eps;

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t block, int thread) const {
    const int64_t size = shape.group_size();
    const T* group = x + block * size;
    if (phase == 0) {
      float sum = 0;
      for (int64_t i = thread; i < size; i += kThreads) sum += to_float(group[i]);
      shared.sums[thread] = sum;
    } else if (phase <= kSteps) {
      tree_step<kThreads>(shared.sums, phase - 1, thread);
    } else if (phase == kSteps + 1) {
      const float middle = shared.sums[0] / static_cast<float>(size);
      float sum = 0;
      for (int64_t i = thread; i < size; i += kThreads) sum += (to_float(group[i]) - middle) * (to_float(group[i]) - middle);
      shared.squares[thread] = sum;
    } else if (phase <= 2 * kSteps + 1) {
      tree_step<kThreads>(shared.squares, phase - kSteps - 2, thread);
    } else if (thread == 0) {
      mean[block] = shared.sums[0] / static_cast<float>(size);
      rstd[block] = 1.0f / sqrtf(shared.squares[0] / static_cast<float>(size) + eps);
    }
  }
};

// z = scale · x + shift of one channel of one picture, and the mean of its group.
struct ChannelLine {
  float scale, shift, mean;
};

struct GroupParameters {
  const float *mean, *rstd, *weight, *bias;
  SARA_HOST_DEVICE ChannelLine line(const GroupShape& shape, int64_t plane) const {
    const int64_t group = plane / shape.group_channels(), channel = plane % shape.channels;
    const float scale = rstd[group] * weight[channel];
    return {scale, bias[channel] - mean[group] * scale, mean[group]};
  }
};

// The gradient of z of y = z · sigmoid(z), or of y = z.
SARA_HOST_DEVICE float inner_gradient(float gradient, float x, const ChannelLine& line, bool silu) {
  if (!silu) return gradient;
  const float z = x * line.scale + line.shift, s = sigmoid(z);
  return gradient * s * (1.0f + z * (1.0f - s));
}

// Planes in pieces of kPiece numbers, so that a block has one channel and no number needs a division.
constexpr int kPlaneThreads = 256, kPiece = 4 * kPlaneThreads;
SARA_HOST_DEVICE int64_t pieces_of(const GroupShape& shape) { return (shape.area + kPiece - 1) / kPiece; }

template <class T>
struct GroupNormApply {
  static constexpr int kThreads = kPlaneThreads, kPhases = 1;
  struct Shared {};
  T* y;
  const T* x;
  GroupParameters norm;
  GroupShape shape;
  bool silu;

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    const int64_t plane = block / pieces_of(shape), begin = block % pieces_of(shape) * kPiece;
    const ChannelLine line = norm.line(shape, plane);
    for (int64_t i = begin + thread; i < begin + kPiece && i < shape.area; i += kThreads) {
      const float z = to_float(x[plane * shape.area + i]) * line.scale + line.shift;
      store(y + plane * shape.area + i, silu ? z * sigmoid(z) : z);
    }
  }
};

// Of each plane, the sums of dz and of dz (x - mean) rstd: what it adds to the gradients of bias and weight. A block is one plane.
template <class T>
struct GroupNormPlaneSums {
  static constexpr int kThreads = kPlaneThreads, kSteps = steps_of(kThreads), kPhases = kSteps + 2;
  struct Shared {
    float gradients[kThreads], products[kThreads];
  };
  float *weight_parts, *bias_parts;  // [batch, channels]
  const T *gradient, *x;
  GroupParameters norm;
  GroupShape shape;
  bool silu;

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t plane, int thread) const {
    if (phase == 0) {
      const ChannelLine line = norm.line(shape, plane);
      float sum = 0, product = 0;
      for (int64_t i = plane * shape.area + thread; i < (plane + 1) * shape.area; i += kThreads) {
        const float value = to_float(x[i]), inner = inner_gradient(to_float(gradient[i]), value, line, silu);
        sum += inner;
        product += inner * (value - line.mean);
      }
      shared.gradients[thread] = sum;
      shared.products[thread] = product;
    } else if (phase <= kSteps) {
      tree_step<kThreads>(shared.gradients, phase - 1, thread);
      tree_step<kThreads>(shared.products, phase - 1, thread);
    } else if (thread == 0) {
      bias_parts[plane] = shared.gradients[0];
      weight_parts[plane] = shared.products[0] * norm.rstd[plane / shape.group_channels()];
    }
  }
};

// With the weighted sums S of dz and P of dz (x - mean) rstd over a group of n numbers:
//   dx = rstd weight dz - rstd S / n - rstd^2 (x - mean) P / n.     factors[group] = {rstd S / n, rstd^2 P / n}. A thread is one group.
struct GroupNormFactors {
  static constexpr int kThreads = 64, kPhases = 1;
  struct Shared {};
  float* factors;  // [batch, groups, 2]
  const float *weight_parts, *bias_parts;
  GroupParameters norm;
  GroupShape shape;

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    const int64_t group = block * kThreads + thread;
    if (group >= shape.batch * shape.groups) return;
    double sum = 0, product = 0;
    for (int64_t c = 0; c < shape.group_channels(); ++c) {
      const int64_t plane = group * shape.group_channels() + c;
      const double weight = norm.weight[plane % shape.channels];
      sum += weight * bias_parts[plane];
      product += weight * weight_parts[plane];
    }
    const double rstd = norm.rstd[group], size = static_cast<double>(shape.group_size());
    factors[2 * group] = static_cast<float>(rstd * sum / size);
    factors[2 * group + 1] = static_cast<float>(rstd * rstd * product / size);
  }
};

template <class T>
struct GroupNormInputGradient {
  static constexpr int kThreads = kPlaneThreads, kPhases = 1;
  struct Shared {};
  T* out;
  const T *gradient, *x;
  const float* factors;
  GroupParameters norm;
  GroupShape shape;
  bool silu;

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    const int64_t plane = block / pieces_of(shape), begin = block % pieces_of(shape) * kPiece, group = plane / shape.group_channels();
    const ChannelLine line = norm.line(shape, plane);
    for (int64_t i = begin + thread; i < begin + kPiece && i < shape.area; i += kThreads) {
      const int64_t at = plane * shape.area + i;
      const float value = to_float(x[at]), inner = inner_gradient(to_float(gradient[at]), value, line, silu);
      store(out + at, line.scale * inner - factors[2 * group] - (value - line.mean) * factors[2 * group + 1]);
    }
  }
};

}  // namespace sara::cuda
