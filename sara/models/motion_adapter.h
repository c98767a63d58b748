// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/temporal_transformer.h"
#include "sara/models/motion_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

namespace sara {

// The motion modules of AnimateDiff without their UNet, as files of their own hold them: down_blocks.i.motion_modules.j,
// mid_block.motion_modules.0 (v2) and up_blocks.i.motion_modules.j, the names they have in the UNet. 520 tensors in v1 and
// v3, 546 in v2, and a table of positions each. It computes nothing by itself. The memory of the parameters is not initialised.
class MotionAdapter : public torch::nn::Module {
 public:
  explicit MotionAdapter(const MotionAdapterConfig& config, const torch::TensorOptions& options = {});
};

}  // namespace sara
