// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/key_maps.h"

namespace sara {
namespace {

const KeyTable kUNetResnet{{
    {"norm1", "in_layers.0"},
    {"conv1", "in_layers.2"},
    {"time_emb_proj", "emb_layers.1"},
    {"norm2", "out_layers.0"},
    {"conv2", "out_layers.3"},
    {"conv_shortcut", "skip_connection"},
}};

const KeyTable kVaeResnet{{
    {"norm1", "norm1"},
    {"conv1", "conv1"},
    {"norm2", "norm2"},
    {"conv2", "conv2"},
    {"conv_shortcut", "nin_shortcut"},
}};

const KeyTable kVaeAttention{{
    {"group_norm", "norm"},
    {"to_q.weight", "q.weight", Change::pointwise},
    {"to_q.bias", "q.bias"},
    {"to_k.weight", "k.weight", Change::pointwise},
    {"to_k.bias", "k.bias"},
    {"to_v.weight", "v.weight", Change::pointwise},
    {"to_v.bias", "v.bias"},
    {"to_out.0.weight", "proj_out.weight", Change::pointwise},
    {"to_out.0.bias", "proj_out.bias"},
}};

const KeyTable kOpenClipLayer{{
    {"layer_norm1", "ln_1"},
    {"layer_norm2", "ln_2"},
    {"mlp.fc1", "mlp.c_fc"},
    {"mlp.fc2", "mlp.c_proj"},
    {"self_attn.q_proj.weight", "attn.in_proj_weight", Change::same, 0, 3},
    {"self_attn.k_proj.weight", "attn.in_proj_weight", Change::same, 1, 3},
    {"self_attn.v_proj.weight", "attn.in_proj_weight", Change::same, 2, 3},
    {"self_attn.q_proj.bias", "attn.in_proj_bias", Change::same, 0, 3},
    {"self_attn.k_proj.bias", "attn.in_proj_bias", Change::same, 1, 3},
    {"self_attn.v_proj.bias", "attn.in_proj_bias", Change::same, 2, 3},
    {"self_attn.out_proj", "attn.out_proj"},
}};

}  // namespace

const KeyTable& unet_keys() {
  static const KeyTable table{{
      {"conv_in", "input_blocks.0.0"},
      {"time_embedding.linear_1", "time_embed.0"},
      {"time_embedding.linear_2", "time_embed.2"},
      {"add_embedding.linear_1", "label_emb.0.0"},
      {"add_embedding.linear_2", "label_emb.0.2"},
      nested("down_blocks.{b}.resnets.{l}", "input_blocks.{in}.0", kUNetResnet),
      {"down_blocks.{b}.attentions.{l}", "input_blocks.{in}.1"},
      in_blocks(Blocks::before_last, "down_blocks.{b}.downsamplers.0.conv", "input_blocks.{down}.0.op"),
      nested("mid_block.resnets.0", "middle_block.0", kUNetResnet),
      {"mid_block.attentions.0", "middle_block.1"},
      nested("mid_block.resnets.1", "middle_block.2", kUNetResnet),
      nested("up_blocks.{b}.resnets.{l}", "output_blocks.{out}.0", kUNetResnet),
      in_blocks(Blocks::with_attention, "up_blocks.{b}.attentions.{l}", "output_blocks.{out}.1"),
      in_blocks(Blocks::with_attention, "up_blocks.{b}.upsamplers.0.conv", "output_blocks.{up}.2.conv"),
      in_blocks(Blocks::without_attention, "up_blocks.{b}.upsamplers.0.conv", "output_blocks.{up}.1.conv"),
      {"conv_norm_out", "out.0"},
      {"conv_out", "out.2"},
  }};
  return table;
}

const KeyTable& vae_keys() {
  static const KeyTable table{{
      {"quant_conv", "quant_conv"},
      {"post_quant_conv", "post_quant_conv"},
      {"encoder.conv_in", "encoder.conv_in"},
      nested("encoder.down_blocks.{b}.resnets.{l}", "encoder.down.{b}.block.{l}", kVaeResnet),
      {"encoder.down_blocks.{b}.downsamplers.0.conv", "encoder.down.{b}.downsample.conv"},
      nested("encoder.mid_block.resnets.0", "encoder.mid.block_1", kVaeResnet),
      nested("encoder.mid_block.attentions.0", "encoder.mid.attn_1", kVaeAttention),
      nested("encoder.mid_block.resnets.1", "encoder.mid.block_2", kVaeResnet),
      {"encoder.conv_norm_out", "encoder.norm_out"},
      {"encoder.conv_out", "encoder.conv_out"},
      {"decoder.conv_in", "decoder.conv_in"},
      nested("decoder.mid_block.resnets.0", "decoder.mid.block_1", kVaeResnet),
      nested("decoder.mid_block.attentions.0", "decoder.mid.attn_1", kVaeAttention),
      nested("decoder.mid_block.resnets.1", "decoder.mid.block_2", kVaeResnet),
      nested("decoder.up_blocks.{b}.resnets.{l}", "decoder.up.{r}.block.{l}", kVaeResnet),
      {"decoder.up_blocks.{b}.upsamplers.0.conv", "decoder.up.{r}.upsample.conv"},
      {"decoder.conv_norm_out", "decoder.norm_out"},
      {"decoder.conv_out", "decoder.conv_out"},
  }};
  return table;
}

const KeyTable& open_clip_keys() {
  static const KeyTable table{{
      {"text_model.embeddings.token_embedding", "token_embedding"},
      {"text_model.embeddings.position_embedding.weight", "positional_embedding"},
      nested("text_model.encoder.layers.{b}", "transformer.resblocks.{b}", kOpenClipLayer),
      {"text_model.final_layer_norm", "ln_final"},
      {"text_projection.weight", "text_projection", Change::transposed},
  }};
  return table;
}

const KeyTable& same_keys() {
  static const KeyTable table{{{"", ""}}};
  return table;
}

}  // namespace sara
