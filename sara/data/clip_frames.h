// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "sara/base/options.h"
#include "sara/data/image_folder.h"

namespace sara {

// What is taken of each clip; the defaults are those AnimateDiff was trained with.
struct ClipOptions {
  std::optional<int64_t> num_frames, frame_stride;

  template <class V>
  void visit(V&& v) {
    v("num_frames", num_frames, "Frames of a training clip, for AnimateDiff models (default: 16)", between(1, 1024));
    v("frame_stride", frame_stride, "Every how many frames of the file one is taken, for AnimateDiff models (default: 4); the frames of a short clip are spread evenly", at_least(1));
  }
};

// Which frames of its clips a step takes, when the frames of all clips stand in one list, clip after clip.
class ClipFrames {
 public:
  static constexpr int64_t kFrames = 16, kStride = 4;

  ClipFrames(const std::vector<Sample>& clips, const ClipOptions& options);

  int64_t clips() const { return static_cast<int64_t>(first_.size()) - 1; }
  int64_t frames() const { return frames_; }  // a clip gives
  int64_t stride() const { return stride_; }

  // Positions in the list. A window of (frames - 1) stride + 1 frames, or the whole clip when it is shorter, begins where the
  // stream "clip" keyed (epoch, clip) says; the frames are spread evenly over it, rounded down.
  std::vector<int64_t> drawn(int64_t clip, uint64_t seed, int64_t epoch) const;

 private:
  int64_t frames_, stride_;
  std::vector<int64_t> first_;  // of each clip; at the end the number of all frames
};

// The frames of all clips as images.
std::vector<Sample> frames_of(const std::vector<Sample>& clips);

}  // namespace sara
