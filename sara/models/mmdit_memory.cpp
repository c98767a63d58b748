// SPDX-License-Identifier: Apache-2.0
#include "sara/models/memory_plan.h"

#include <algorithm>

namespace sara {
namespace {

// Numbers that one block keeps beside its inputs, of one picture. In units of the width, a token keeps
//   a norm's output and what is made of it by scale and shift   2
//   q, k, v, and what was seen                                  4, and 4 more for q and k before and inside RMS norms
//   what the gate multiplies                                    1
//   the feed-forward: its input stream, norm, modulated, hidden before and after GELU (4 each), what the gate multiplies   12
// The sums of the soft-max, the norms' statistics and the first factor of RMS norms are fp32.
class BlockCounter {
 public:
  BlockCounter(const MmditConfig& config, const PassSize& size)
      : width_(config.width()), heads_(config.num_attention_heads), qk_norm_(config.qk_norm), fp32_(4.0 / double(size.element_size)) {}

  double block(int64_t picture, int64_t text, bool dual, bool last) const {
    const auto both = double(picture + text);
    double kept = both * (2.0 * width_ + attention());
    kept += double(last ? picture : picture + text) * width_ * (1 + 12);
    kept += both * 4 * fp32_;  // mean and deviation of two norms
    if (dual) kept += double(picture) * (1.0 * width_ + attention() + width_);
    return kept + condition(dual, last);
  }

 private:
  double attention() const {
    const double norms = qk_norm_ ? 2 * (width_ + fp32_ * width_ + fp32_ * heads_) : 0;
    return 4.0 * width_ + fp32_ * heads_ + norms;
  }

  // Shifts, scales and gates of both streams, and 1 + scale.
  double condition(bool dual, bool last) const { return width_ * ((dual ? 9 + 3 : 6 + 2) + (last ? 1.0 : 6 + 2)); }

  double width_, heads_;
  bool qk_norm_;
  double fp32_;  // size of such a number
};

}  // namespace

int64_t kept_bytes(const MmditConfig& config, const PassSize& size, MemoryLevel level) {
  const BlockCounter counter(config, size);
  const int64_t width = config.width(), picture = (size.height / config.patch_size) * (size.width / config.patch_size), text = size.text_tokens;
  double kept = double(size.height * size.width * config.in_channels + text * config.joint_attention_dim);
  kept += 8.0 * double(width);                 // the condition on its way
  kept += 3.0 * double(picture * width);       // norm_out and proj_out
  double largest = 0;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const double inside = counter.block(picture, text, config.dual_attention_layers.count(i) > 0, i + 1 == config.num_layers);
    kept += double((picture + text) * width);  // what goes in
    if (level == MemoryLevel::checkpoint)
      largest = std::max(largest, inside);
    else
      kept += inside;
  }
  return static_cast<int64_t>((kept + largest) * double(size.batch * size.element_size));
}

}  // namespace sara
