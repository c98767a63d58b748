// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/launch.h"
#include "sara/cuda/numbers.cuh"
#include "sara/cuda/tree.cuh"

namespace sara::cuda {

// The parts of ops/group_norm.h. x [batch, channels, area], or [batch, area, channels] with channels_last; statistics [batch, groups], weight and
// bias [channels], all fp32. A plane is one channel of one picture, plane = picture · channels + channel.
struct GroupShape {
  int64_t batch, channels, groups, area;
  bool channels_last;
  SARA_HOST_DEVICE int64_t group_channels() const { return channels / groups; }
  SARA_HOST_DEVICE int64_t group_size() const { return group_channels() * area; }
  // Where the k-th number of a group lies; numbers that follow each other there do so here, as far as they can.
  SARA_HOST_DEVICE int64_t of_group(int64_t group, int64_t k) const {
    if (!channels_last) return group * group_size() + k;
    const int64_t position = k / group_channels(), channel = group % groups * group_channels() + k % group_channels();
    return (group / groups * area + position) * channels + channel;
  }
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
    if (phase == 0) {
      float sum = 0;
      for (int64_t i = thread; i < size; i += kThreads) sum += to_float(x[shape.of_group(block, i)]);
      shared.sums[thread] = sum;
    } else if (phase <= kSteps) {
      tree_step<kThreads>(shared.sums, phase - 1, thread);
    } else if (phase == kSteps + 1) {
      const float middle = shared.sums[0] / static_cast<float>(size);
      float sum = 0;
      for (int64_t i = thread; i < size; i += kThreads) {
        const float distance = to_float(x[shape.of_group(block, i)]) - middle;
        sum += distance * distance;
      }
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

// The numbers of x in pieces of kPiece, of one plane each, so that no number needs a division; with channels_last of one picture.
constexpr int kPlaneThreads = 256, kPiece = 4 * kPlaneThreads;
struct Pieces {
  GroupShape shape;
  SARA_HOST_DEVICE int64_t lines() const { return shape.channels_last ? shape.batch : shape.batch * shape.channels; }
  SARA_HOST_DEVICE int64_t line_size() const { return shape.channels_last ? shape.area * shape.channels : shape.area; }
  SARA_HOST_DEVICE int64_t in_line() const { return (line_size() + kPiece - 1) / kPiece; }
  SARA_HOST_DEVICE int64_t count() const { return lines() * in_line(); }

  // work(where a number lies, its plane) for those that a thread of a block has.
  template <class Work>
  SARA_HOST_DEVICE void for_each(int64_t block, int thread, const Work& work) const {
    const int64_t line = block / in_line(), begin = block % in_line() * kPiece, size = line_size();
    for (int64_t i = begin + thread; i < begin + kPiece && i < size; i += kPlaneThreads)
      work(line * size + i, shape.channels_last ? line * shape.channels + i % shape.channels : line);
  }
};

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
    Pieces{shape}.for_each(block, thread, [&](int64_t at, int64_t plane) {
      const ChannelLine line = norm.line(shape, plane);
      const float z = to_float(x[at]) * line.scale + line.shift;
      store(y + at, silu ? z * sigmoid(z) : z);
    });
  }
};

}  // namespace sara::cuda
