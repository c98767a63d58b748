// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/group_norm.cuh"

namespace sara::cuda {

// The gradient of z of y = z · sigmoid(z), or of y = z.
SARA_HOST_DEVICE float inner_gradient(float gradient, float x, const ChannelLine& line, bool silu) {
  if (!silu) return gradient;
  const float z = x * line.scale + line.shift, s = sigmoid(z);
  return gradient * s * (1.0f + z * (1.0f - s));
}

// What numbers of one plane add to the gradients of its channel's bias and weight: the sums of dz and of dz (x - mean), in the end times rstd.
struct PlaneSum {
  float gradient = 0, product = 0;
  SARA_HOST_DEVICE void add(float gradient_of_y, float x, const ChannelLine& line, bool silu) {
    const float inner = inner_gradient(gradient_of_y, x, line, silu);
    gradient += inner;
    product += inner * (x - line.mean);
  }
};

// Those of each plane. A block is one plane.
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
      PlaneSum sum;
      for (int64_t i = plane * shape.area + thread; i < (plane + 1) * shape.area; i += kThreads) sum.add(to_float(gradient[i]), to_float(x[i]), line, silu);
      shared.gradients[thread] = sum.gradient;
      shared.products[thread] = sum.product;
    } else if (phase <= kSteps) {
      tree_step<kThreads>(shared.gradients, phase - 1, thread);
      tree_step<kThreads>(shared.products, phase - 1, thread);
    } else if (thread == 0) {
      bias_parts[plane] = shared.gradients[0];
      weight_parts[plane] = shared.products[0] * norm.rstd[plane / shape.group_channels()];
    }
  }
};

// The same with channels_last, of kPositions positions at a time: a block is kChannels neighbouring channels, read together, of one such part of a picture,
// with kLanes threads a channel. `shape.area` may end within the last part.
template <class T>
struct GroupNormChannelSums {
  static constexpr int kChannels = 32, kLanes = 8, kPositions = 256, kThreads = kChannels * kLanes, kSteps = steps_of(kLanes), kPhases = kSteps + 2;
  struct Shared {
    float gradients[kChannels][kLanes], products[kChannels][kLanes];
  };
  float *weight_parts, *bias_parts;  // [batch, parts, channels]
  const T *gradient, *x;
  GroupParameters norm;
  GroupShape shape;
  bool silu;

  SARA_HOST_DEVICE static int64_t parts(const GroupShape& shape) { return (shape.area + kPositions - 1) / kPositions; }
  SARA_HOST_DEVICE static int64_t stripes(const GroupShape& shape) { return (shape.channels + kChannels - 1) / kChannels; }

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t block, int thread) const {
    const int place = thread % kChannels, lane = thread / kChannels;
    const int64_t line = block / stripes(shape), picture = line / parts(shape), first = line % parts(shape) * kPositions;
    const int64_t channel = block % stripes(shape) * kChannels + place, plane = picture * shape.channels + channel;
    if (channel >= shape.channels) return;
    if (phase == 0) {
      const ChannelLine of_channel = norm.line(shape, plane);
      PlaneSum sum;
      for (int64_t position = first + lane; position < first + kPositions && position < shape.area; position += kLanes) {
        const int64_t at = (picture * shape.area + position) * shape.channels + channel;
        sum.add(to_float(gradient[at]), to_float(x[at]), of_channel, silu);
      }
      shared.gradients[place][lane] = sum.gradient;
      shared.products[place][lane] = sum.product;
    } else if (phase <= kSteps) {
      tree_step<kLanes>(shared.gradients[place], phase - 1, lane);
      tree_step<kLanes>(shared.products[place], phase - 1, lane);
    } else if (lane == 0) {
      bias_parts[line * shape.channels + channel] = shared.gradients[place][0];
      weight_parts[line * shape.channels + channel] = shared.products[place][0] * norm.rstd[plane / shape.group_channels()];
    }
  }
};

// With the weighted sums S of dz and P of dz (x - mean) rstd over a group of n numbers:
//   dx = rstd weight dz - rstd S / n - rstd^2 (x - mean) P / n.     factors[group] = {rstd S / n, rstd^2 P / n}. A thread is one group.
struct GroupNormFactors {
  static constexpr int kThreads = 64, kPhases = 1;
  struct Shared {};
  float* factors;  // [batch, groups, 2]
  const float *weight_parts, *bias_parts;  // [batch, parts, channels]
  int64_t parts;
  GroupParameters norm;
  GroupShape shape;

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    const int64_t group = block * kThreads + thread;
    if (group >= shape.batch * shape.groups) return;
    double sum = 0, product = 0;
    for (int64_t c = 0; c < shape.group_channels(); ++c) {
      const int64_t channel = group % shape.groups * shape.group_channels() + c;
      const double weight = norm.weight[channel];
      for (int64_t part = group / shape.groups * parts; part < (group / shape.groups + 1) * parts; ++part) {
        sum += weight * bias_parts[part * shape.channels + channel];
        product += weight * weight_parts[part * shape.channels + channel];
      }
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
    Pieces{shape}.for_each(block, thread, [&](int64_t at, int64_t plane) {
      const int64_t group = plane / shape.group_channels();
      const ChannelLine line = norm.line(shape, plane);
      const float value = to_float(x[at]), inner = inner_gradient(to_float(gradient[at]), value, line, silu);
      store(out + at, line.scale * inner - factors[2 * group] - (value - line.mean) * factors[2 * group + 1]);
    });
  }
};

}  // namespace sara::cuda
