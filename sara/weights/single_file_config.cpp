// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/single_file_config.h"

#include <algorithm>

#include "sara/base/error.h"

namespace sara {
namespace {

// The tensors of one part, by the names behind its prefix.
class PartKeys {
 public:
  PartKeys(const SafetensorsReader& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  bool has(const std::string& name) const { return file_.find(prefix_ + name) != nullptr; }

  const std::vector<int64_t>& shape(const std::string& name) const {
    const auto* info = file_.find(prefix_ + name);
    if (!info) throw BadFile(file_.path(), message("tensor ", prefix_ + name, " is missing. Fix: download the file again"));
    return info->shape;
  }

  int64_t side(const std::string& name, size_t dimension) const {
    const auto& sides = shape(name);
    if (dimension >= sides.size()) throw BadFile(file_.path(), message("tensor ", prefix_ + name, " has too few sides. Fix: download the file again"));
    return sides[dimension];
  }

  // How many of start + "0" + end, start + "1" + end, ... there are.
  int64_t count(const std::string& start, const std::string& end) const {
    int64_t n = 0;
    while (has(start + std::to_string(n) + end)) ++n;
    return n;
  }

 private:
  const SafetensorsReader& file_;
  std::string prefix_;
};

Json short_list(const std::vector<int64_t>& values) {
  return std::ranges::all_of(values, [&](int64_t value) { return value == values.front(); }) ? Json(values.front()) : Json(values);
}

Json unet_config(const PartKeys& keys, const std::string& family, const std::string& prediction_type) {
  std::vector<int64_t> channels, depths, heads;
  std::vector<std::string> down;
  int64_t layers = 0, cross = 0;
  bool linear = false;
  const auto attention_at = [&](const std::string& at) {
    const auto first = at + ".transformer_blocks.0.attn2.to_k.weight";
    if (!keys.has(first)) return int64_t{0};
    cross = keys.side(first, 1);
    linear = keys.shape(at + ".proj_in.weight").size() == 2;
    return keys.count(at + ".transformer_blocks.", ".norm1.weight");
  };
  for (int64_t place = 1, in_block = 0; keys.has(message("input_blocks.", place, ".0.in_layers.0.weight")); ++place) {
    const std::string at = message("input_blocks.", place);
    if (in_block++ == 0) {
      const int64_t depth = attention_at(at + ".1");
      channels.push_back(keys.side(at + ".0.out_layers.3.weight", 0));
      depths.push_back(std::max<int64_t>(depth, 1));
      down.push_back(depth ? "CrossAttnDownBlock2D" : "DownBlock2D");
    }
    if (channels.size() == 1) layers = in_block;
    if (keys.has(message("input_blocks.", place + 1, ".0.op.weight"))) ++place, in_block = 0;
  }
  if (channels.empty()) keys.shape("input_blocks.1.0.in_layers.0.weight");  // says that it is missing
  if (const int64_t middle = attention_at("middle_block.1")) depths.back() = middle;
  for (const int64_t width : channels) heads.push_back(family == "sd1" ? 8 : std::max<int64_t>(width / 64, 1));
  std::vector<std::string> up;
  for (auto type = down.rbegin(); type != down.rend(); ++type) up.push_back(*type == "DownBlock2D" ? "UpBlock2D" : "CrossAttnUpBlock2D");
  const bool xl = family == "sdxl", velocity = prediction_type == "v_prediction";
  Json config{{"_class_name", "UNet2DConditionModel"},
              {"act_fn", "silu"},
              {"attention_head_dim", short_list(heads)},
              {"block_out_channels", channels},
              {"center_input_sample", false},
              {"cross_attention_dim", cross},
              {"down_block_types", down},
              {"downsample_padding", 1},
              {"flip_sin_to_cos", true},
              {"freq_shift", 0},
              {"in_channels", keys.side("input_blocks.0.0.weight", 1)},
              {"layers_per_block", layers},
              {"mid_block_scale_factor", 1},
              {"norm_eps", 1e-5},
              {"norm_num_groups", 32},
              {"out_channels", keys.side("out.2.weight", 0)},
              {"sample_size", xl ? 128 : family == "sd2" && velocity ? 96 : 64},
              {"transformer_layers_per_block", short_list(depths)},
              {"up_block_types", up},
              {"upcast_attention", family == "sd2" && velocity},
              {"use_linear_projection", linear}};
  if (keys.has("label_emb.0.0.weight")) {
    config["addition_embed_type"] = "text_time";
    config["addition_time_embed_dim"] = 256;
    config["projection_class_embeddings_input_dim"] = keys.side("label_emb.0.0.weight", 1);
  }
  return config;
}

Json vae_config(const PartKeys& keys, const std::string& family) {
  std::vector<int64_t> channels;
  for (int64_t b = 0; keys.has(message("encoder.down.", b, ".block.0.conv1.weight")); ++b)
    channels.push_back(keys.side(message("encoder.down.", b, ".block.0.conv1.weight"), 0));
  if (channels.empty()) keys.shape("encoder.down.0.block.0.conv1.weight");
  const bool sd3 = family == "sd3", large = sd3 || family == "sdxl";
  Json config{{"_class_name", "AutoencoderKL"},
              {"act_fn", "silu"},
              {"block_out_channels", channels},
              {"down_block_types", std::vector<std::string>(channels.size(), "DownEncoderBlock2D")},
              {"in_channels", keys.side("encoder.conv_in.weight", 1)},
              {"latent_channels", keys.side("decoder.conv_in.weight", 1)},
              {"layers_per_block", keys.count("encoder.down.0.block.", ".conv1.weight")},
              {"norm_num_groups", 32},
              {"out_channels", keys.side("decoder.conv_out.weight", 0)},
              {"sample_size", large ? 1024 : 512},
              {"scaling_factor", sd3 ? 1.5305 : family == "sdxl" ? 0.13025 : 0.18215},
              {"up_block_types", std::vector<std::string>(channels.size(), "UpDecoderBlock2D")},
              {"use_quant_conv", keys.has("quant_conv.weight")},
              {"use_post_quant_conv", keys.has("post_quant_conv.weight")}};
  if (sd3) config["shift_factor"] = 0.0609;
  if (large) config["force_upcast"] = true;
  return config;
}

Json clip_config(const PartKeys& keys, const SingleFilePart& part, const std::string& family) {
  const bool open_clip = &part.keys == &open_clip_keys();
  const std::string token = open_clip ? "token_embedding.weight" : "text_model.embeddings.token_embedding.weight";
  const std::string position = open_clip ? "positional_embedding" : "text_model.embeddings.position_embedding.weight";
  const std::string layer = open_clip ? "transformer.resblocks." : "text_model.encoder.layers.";
  const std::string inner = open_clip ? ".mlp.c_fc.weight" : ".mlp.fc1.weight";
  int64_t layers = keys.count(layer, inner);
  // OpenCLIP H of SD 2.x is used up to its last layer but one; whoever keeps the projection keeps the unused layer too.
  if (family == "sd2" && keys.has("text_projection")) --layers;
  const int64_t width = keys.side(token, 1), vocabulary = keys.side(token, 0);
  const bool wide = open_clip || std::string(part.component) == "text_encoder_2";
  const std::string projection = open_clip ? "text_projection" : "text_projection.weight";
  return {{"architectures", {part.class_name}},
          {"model_type", "clip_text_model"},
          {"attention_dropout", 0.0},
          {"bos_token_id", vocabulary - 2},
          {"eos_token_id", vocabulary - 1},
          {"pad_token_id", 1},
          {"hidden_act", wide ? "gelu" : "quick_gelu"},
          {"hidden_size", width},
          {"intermediate_size", keys.side(layer + "0" + inner, 0)},
          {"layer_norm_eps", 1e-5},
          {"max_position_embeddings", keys.side(position, 0)},
          {"num_attention_heads", std::max<int64_t>(width / 64, 1)},
          {"num_hidden_layers", layers},
          {"projection_dim", keys.has(projection) ? keys.side(projection, open_clip ? 1 : 0) : width},
          {"vocab_size", vocabulary}};
}

Json t5_config(const PartKeys& keys) {
  const std::string first = "encoder.block.0.layer.";
  const std::string token = keys.has("shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight";
  return {{"architectures", {"T5EncoderModel"}},
          {"model_type", "t5"},
          {"d_ff", keys.side(first + "1.DenseReluDense.wi_0.weight", 0)},
          {"d_kv", 64},
          {"d_model", keys.side(token, 1)},
          {"dense_act_fn", "gelu_new"},
          {"feed_forward_proj", "gated-gelu"},
          {"is_gated_act", true},
          {"layer_norm_epsilon", 1e-6},
          {"num_heads", keys.side(first + "0.SelfAttention.relative_attention_bias.weight", 1)},
          {"num_layers", keys.count("encoder.block.", ".layer.0.SelfAttention.q.weight")},
          {"pad_token_id", 0},
          {"eos_token_id", 1},
          {"relative_attention_max_distance", 128},
          {"relative_attention_num_buckets", keys.side(first + "0.SelfAttention.relative_attention_bias.weight", 0)},
          {"vocab_size", keys.side(token, 0)}};
}

Json mmdit_config(const PartKeys& keys) {
  const int64_t layers = keys.count("joint_blocks.", ".x_block.attn.qkv.weight"), width = keys.side("x_embedder.proj.weight", 0);
  const int64_t patch = keys.side("x_embedder.proj.weight", 2), channels = keys.side("x_embedder.proj.weight", 1), places = keys.side("pos_embed", 1);
  int64_t rows = 1;
  while (rows * rows < places) ++rows;
  Json dual = Json::array();
  for (int64_t layer = 0; layer < layers; ++layer)
    if (keys.has(message("joint_blocks.", layer, ".x_block.attn2.qkv.weight"))) dual.push_back(layer);
  return {{"_class_name", "SD3Transformer2DModel"},
          {"attention_head_dim", 64},
          {"caption_projection_dim", keys.side("context_embedder.weight", 0)},
          {"dual_attention_layers", dual},
          {"in_channels", channels},
          {"joint_attention_dim", keys.side("context_embedder.weight", 1)},
          {"num_attention_heads", std::max<int64_t>(width / 64, 1)},
          {"num_layers", layers},
          {"out_channels", keys.side("final_layer.linear.weight", 0) / (patch * patch)},
          {"patch_size", patch},
          {"pooled_projection_dim", keys.side("y_embedder.mlp.0.weight", 1)},
          {"pos_embed_max_size", rows},
          {"qk_norm", keys.has("joint_blocks.0.x_block.attn.ln_q.weight") ? Json("rms_norm") : Json()},
          {"sample_size", 128}};
}

Json motion_config(const PartKeys& keys) {
  const std::string inside = ".temporal_transformer.norm.weight";
  std::vector<int64_t> channels;
  for (int64_t b = 0; keys.has(message("down_blocks.", b, ".motion_modules.0", inside)); ++b)
    channels.push_back(keys.side(message("down_blocks.", b, ".motion_modules.0", inside), 0));
  if (channels.empty()) keys.shape("down_blocks.0.motion_modules.0" + inside);
  const std::string table = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe";
  return {{"_class_name", "MotionAdapter"},
          {"block_out_channels", channels},
          {"conv_in_channels", nullptr},
          {"motion_layers_per_block", keys.count("down_blocks.0.motion_modules.", inside)},
          {"motion_max_seq_length", keys.side(table, 1)},
          {"motion_mid_block_layers_per_block", 1},
          {"motion_norm_num_groups", 32},
          {"motion_num_attention_heads", 8},
          {"use_motion_mid_block", keys.has("mid_block.motion_modules.0" + inside)}};
}

}  // namespace

Json derived_config(const SafetensorsReader& file, const SingleFileLayout& layout, const SingleFilePart& part, const std::string& prediction_type) {
  const char* prefix = prefix_in(file, part);
  SARA_CHECK(prefix, "a config of an absent part");
  const PartKeys keys(file, prefix);
  if (&part.keys == &unet_keys()) return unet_config(keys, layout.family, prediction_type);
  if (&part.keys == &vae_keys()) return vae_config(keys, layout.family);
  if (&part.keys == &mmdit_keys()) return mmdit_config(keys);
  if (&part.keys == &motion_keys()) return motion_config(keys);
  return std::string(part.class_name) == "T5EncoderModel" ? t5_config(keys) : clip_config(keys, part, layout.family);
}

Json published_scheduler(const std::string& family, const std::string& prediction_type) {
  if (family == "sd3") return {{"_class_name", "FlowMatchEulerDiscreteScheduler"}, {"num_train_timesteps", 1000}, {"shift", 3.0}};
  Json config{{"_class_name", family == "sdxl" ? "EulerDiscreteScheduler" : "DDIMScheduler"},
              {"beta_end", 0.012},
              {"beta_schedule", "scaled_linear"},
              {"beta_start", 0.00085},
              {"num_train_timesteps", 1000},
              {"prediction_type", prediction_type},
              {"steps_offset", 1},
              {"timestep_spacing", "leading"},
              {"trained_betas", nullptr}};
  if (family != "sdxl") {
    config["clip_sample"] = false;
    config["set_alpha_to_one"] = false;
  }
  return config;
}

}  // namespace sara
