// SPDX-License-Identifier: Apache-2.0
#include "sara/models/motion_adapter.h"

#include "sara/base/message.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

MotionAdapter::MotionAdapter(const MotionAdapterConfig& config, const torch::TensorOptions& options) {
  const size_t levels = config.block_out_channels.size();
  const auto add = [&](const std::string& block, size_t level, int64_t modules, int64_t layers) {
    const TemporalTransformerOptions module{.channels = config.block_out_channels[level],
                                            .heads = config.motion.heads[level],
                                            .layers = layers,
                                            .max_frames = config.motion.max_frames,
                                            .norm_groups = config.norm_num_groups};
    for (int64_t i = 0; i < modules; ++i) make_at<TemporalTransformer>(*this, message(block, ".motion_modules.", i), module, options);
  };
  for (size_t level = 0; level < levels; ++level) {
    add(message("down_blocks.", level), level, config.layers_per_block[level], config.motion.layers[level]);
    add(message("up_blocks.", levels - 1 - level), level, config.layers_per_block[level] + 1, config.motion.layers[level]);
  }
  if (config.motion.mid_block) add("mid_block", levels - 1, 1, config.motion.mid_layers);
}

}  // namespace sara
