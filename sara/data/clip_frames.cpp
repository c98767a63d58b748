// SPDX-License-Identifier: Apache-2.0
#include "sara/data/clip_frames.h"

#include <algorithm>

#include "sara/base/error.h"
#include "sara/base/random.h"

namespace sara {

ClipFrames::ClipFrames(const std::vector<Sample>& clips, const ClipOptions& options)
    : frames_(options.num_frames.value_or(kFrames)), stride_(options.frame_stride.value_or(kStride)), first_{0} {
  for (const auto& clip : clips) first_.push_back(first_.back() + static_cast<int64_t>(clip.frames.size()));
}

std::vector<int64_t> ClipFrames::drawn(int64_t clip, uint64_t seed, int64_t epoch) const {
  SARA_CHECK(clip >= 0 && clip < clips(), "clip ", clip, " of ", clips());
  const int64_t first = first_[static_cast<size_t>(clip)], count = first_[static_cast<size_t>(clip) + 1] - first;
  const int64_t window = std::min(count, (frames_ - 1) * stride_ + 1);
  RandomStream stream(seed, "clip", static_cast<uint64_t>(epoch), static_cast<uint64_t>(clip));
  const int64_t start = static_cast<int64_t>(stream.below(static_cast<uint64_t>(count - window + 1)));
  std::vector<int64_t> out;
  for (int64_t i = 0; i < frames_; ++i) out.push_back(first + start + (frames_ > 1 ? i * (window - 1) / (frames_ - 1) : 0));
  return out;
}

std::vector<Sample> frames_of(const std::vector<Sample>& clips) {
  std::vector<Sample> frames;
  for (const auto& clip : clips)
    for (const auto& path : clip.frames) frames.push_back({path, {}});
  return frames;
}

}  // namespace sara
