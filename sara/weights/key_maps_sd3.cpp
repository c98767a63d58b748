// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/key_maps.h"

namespace sara {
namespace {

const KeyTable kPictureBlock{{
    {"norm1.linear", "adaLN_modulation.1"},
    {"attn.to_q", "attn.qkv", Change::same, 0, 3},
    {"attn.to_k", "attn.qkv", Change::same, 1, 3},
    {"attn.to_v", "attn.qkv", Change::same, 2, 3},
    {"attn.to_out.0", "attn.proj"},
    {"attn.norm_q", "attn.ln_q"},
    {"attn.norm_k", "attn.ln_k"},
    {"attn2.to_q", "attn2.qkv", Change::same, 0, 3},
    {"attn2.to_k", "attn2.qkv", Change::same, 1, 3},
    {"attn2.to_v", "attn2.qkv", Change::same, 2, 3},
    {"attn2.to_out.0", "attn2.proj"},
    {"attn2.norm_q", "attn2.ln_q"},
    {"attn2.norm_k", "attn2.ln_k"},
    {"ff.net.0.proj", "mlp.fc1"},
    {"ff.net.2", "mlp.fc2"},
}};

const KeyTable kTextBlock{{
    {"attn.add_q_proj", "attn.qkv", Change::same, 0, 3},
    {"attn.add_k_proj", "attn.qkv", Change::same, 1, 3},
    {"attn.add_v_proj", "attn.qkv", Change::same, 2, 3},
    {"attn.to_add_out", "attn.proj"},
    {"attn.norm_added_q", "attn.ln_q"},
    {"attn.norm_added_k", "attn.ln_k"},
    {"ff_context.net.0.proj", "mlp.fc1"},
    {"ff_context.net.2", "mlp.fc2"},
}};

}  // namespace

// diffusers keeps (scale, shift) where a single file keeps (shift, scale): in norm_out, and in the last block's text norm.
const KeyTable& mmdit_keys() {
  static const KeyTable table{{
      {"pos_embed.pos_embed", "pos_embed"},
      {"pos_embed.proj", "x_embedder.proj"},
      {"context_embedder", "context_embedder"},
      {"time_text_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"},
      {"time_text_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"},
      {"time_text_embed.text_embedder.linear_1", "y_embedder.mlp.0"},
      {"time_text_embed.text_embedder.linear_2", "y_embedder.mlp.2"},
      nested("transformer_blocks.{b}", "joint_blocks.{b}.x_block", kPictureBlock),
      nested("transformer_blocks.{b}", "joint_blocks.{b}.context_block", kTextBlock),
      in_blocks(Blocks::before_last, "transformer_blocks.{b}.norm1_context.linear", "joint_blocks.{b}.context_block.adaLN_modulation.1"),
      in_blocks(Blocks::last, "transformer_blocks.{b}.norm1_context.linear", "joint_blocks.{b}.context_block.adaLN_modulation.1", Change::swapped_halves),
      {"norm_out.linear", "final_layer.adaLN_modulation.1", Change::swapped_halves},
      {"proj_out", "final_layer.linear"},
  }};
  return table;
}

}  // namespace sara
