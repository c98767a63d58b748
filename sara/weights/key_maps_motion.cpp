// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/key_maps.h"

namespace sara {
namespace {

// A motion module has one transformer block in all published models; its two attentions share one table of positions.
const KeyTable kMotionModule{{
    {"norm", "temporal_transformer.norm"},
    {"proj_in", "temporal_transformer.proj_in"},
    {"proj_out", "temporal_transformer.proj_out"},
    {"transformer_blocks.0.attn1", "temporal_transformer.transformer_blocks.0.attention_blocks.0"},
    {"transformer_blocks.0.attn2", "temporal_transformer.transformer_blocks.0.attention_blocks.1"},
    {"transformer_blocks.0.norm1", "temporal_transformer.transformer_blocks.0.norms.0"},
    {"transformer_blocks.0.norm2", "temporal_transformer.transformer_blocks.0.norms.1"},
    {"transformer_blocks.0.norm3", "temporal_transformer.transformer_blocks.0.ff_norm"},
    {"transformer_blocks.0.ff", "temporal_transformer.transformer_blocks.0.ff"},
    {"transformer_blocks.0.pos_embed", "temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder"},
    copied("transformer_blocks.0.pos_embed", "temporal_transformer.transformer_blocks.0.attention_blocks.1.pos_encoder"),
}};

}  // namespace

const KeyTable& motion_keys() {
  static const KeyTable table{{
      nested("down_blocks.{b}.motion_modules.{l}", "down_blocks.{b}.motion_modules.{l}", kMotionModule),
      nested("mid_block.motion_modules.0", "mid_block.motion_modules.0", kMotionModule),
      nested("up_blocks.{b}.motion_modules.{l}", "up_blocks.{b}.motion_modules.{l}", kMotionModule),
  }};
  return table;
}

}  // namespace sara
