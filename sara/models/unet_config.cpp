// SPDX-License-Identifier: Apache-2.0
#include "sara/models/unet_config.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/models/config_reader.h"

#include <utility>

namespace sara {
namespace {

constexpr const char* kClass = "UNet2DConditionModel";
constexpr const char* kMotionClass = "UNetMotionModel";

// Block types of the two classes: "DownBlock2D" and "DownBlockMotion".
std::vector<std::string> renamed(std::vector<std::string> types, const std::string& from, const std::string& to) {
  for (auto& type : types)
    if (type.ends_with(from)) type.replace(type.size() - from.size(), from.size(), to);
  return types;
}

// Keys of variants outside SD 1.x, 2.x and XL, each with the values under which they change nothing.
void refuse_variants(const ConfigReader& read) {
  const Json null;
  for (const char* key : {"class_embed_type", "num_class_embeds", "encoder_hid_dim", "encoder_hid_dim_type",
                          "time_embedding_dim", "time_embedding_act_fn", "timestep_post_act", "time_cond_proj_dim",
                          "cross_attention_norm", "reverse_transformer_layers_per_block"})
    read.only(key, {null});
  read.only("addition_embed_type", {null, "text_time"});
  for (const char* key :
       {"only_cross_attention", "dual_cross_attention", "resnet_skip_time_act", "class_embeddings_concat"})
    read.only(key, {false});
  read.only("mid_block_only_cross_attention", {null, false});
  read.only("mid_block_type", {"UNetMidBlock2DCrossAttn"});
  read.only("act_fn", {"silu", "swish"});
  read.only("resnet_time_scale_shift", {"default"});
  read.only("time_embedding_type", {"positional"});
  read.only("attention_type", {"default"});
  read.only("mid_block_scale_factor", {1});
  read.only("resnet_out_scale_factor", {1});
  read.only("dropout", {0});
  read.only("_class_name", {kClass, kMotionClass});
}

std::optional<TextTimeConfig> read_text_time(const ConfigReader& read) {
  if (!read.given("addition_embed_type")) {
    for (const char* key : {"addition_time_embed_dim", "projection_class_embeddings_input_dim"}) read.only(key, {Json()});
    return std::nullopt;
  }
  const auto needed = [&](const char* key) {
    if (read.given(key)) return read.integer(key, 0);
    throw InvalidArgument(message(kClass, " config: \"", key, "\" is missing, which \"addition_embed_type\" text_time needs. Fix: copy config.json again"));
  };
  return TextTimeConfig{needed("addition_time_embed_dim"), needed("projection_class_embeddings_input_dim")};
}

void need_size(const char* key, size_t got, size_t expected) {
  if (got == expected) return;
  throw InvalidArgument(message(kClass, " config: \"", key, "\" has the wrong length (expected ", expected,
                                " as in \"block_out_channels\", got ", got, "). Fix: give one entry per block"));
}

void need_types(const char* key, const std::vector<std::string>& types, const std::string& plain,
                const std::string& cross) {
  for (const auto& type : types)
    if (type != plain && type != cross)
      throw InvalidArgument(message(kClass, " config: \"", key, "\" has an unsupported entry (expected ", plain, " or ",
                                    cross, ", got ", escaped(type), "). Fix: use a Stable Diffusion 1.x, 2.x or XL model"));
}

}  // namespace

UNetConfig UNetConfig::from_json(const Json& json) {
  const ConfigReader read(json, kClass);
  refuse_variants(read);
  UNetConfig c;
  c.source = json;
  if (read.given("sample_size")) c.sample_size = read.integer("sample_size", 0);
  c.in_channels = read.integer("in_channels", c.in_channels);
  c.out_channels = read.integer("out_channels", c.out_channels);
  c.center_input_sample = read.boolean("center_input_sample", c.center_input_sample);
  c.flip_sin_to_cos = read.boolean("flip_sin_to_cos", c.flip_sin_to_cos);
  c.freq_shift = read.real("freq_shift", c.freq_shift);
  c.down_block_types = read.texts("down_block_types", c.down_block_types);
  c.up_block_types = read.texts("up_block_types", c.up_block_types);
  c.block_out_channels = read.integers("block_out_channels", c.block_out_channels);
  const size_t blocks = c.block_out_channels.size();
  c.layers_per_block = read.per_block("layers_per_block", blocks, 2);
  c.transformer_layers_per_block = read.per_block("transformer_layers_per_block", blocks, 1);
  c.heads = read.per_block(read.given("num_attention_heads") ? "num_attention_heads" : "attention_head_dim", blocks, 8);
  c.cross_attention_dim = read.integer("cross_attention_dim", c.cross_attention_dim);
  c.downsample_padding = read.integer("downsample_padding", c.downsample_padding, 0);
  c.norm_num_groups = read.integer("norm_num_groups", c.norm_num_groups);
  c.norm_eps = read.positive("norm_eps", c.norm_eps);
  c.use_linear_projection = read.boolean("use_linear_projection", c.use_linear_projection);
  c.upcast_attention = read.boolean("upcast_attention", c.upcast_attention);
  c.conv_in_kernel = read.integer("conv_in_kernel", c.conv_in_kernel);
  c.conv_out_kernel = read.integer("conv_out_kernel", c.conv_out_kernel);
  c.text_time = read_text_time(read);
  if (read.text("_class_name", kClass) == kMotionClass) {
    c.motion = MotionConfig::from_unet(read, blocks);
    c.down_block_types = renamed(c.down_block_types, "Motion", "2D");
    c.up_block_types = renamed(c.up_block_types, "Motion", "2D");
  }
  c.check();
  return c;
}

Json UNetConfig::to_json() const {
  Json json = source;
  const bool heads_by_name = json.contains("num_attention_heads") && !json["num_attention_heads"].is_null();
  json["_class_name"] = motion ? kMotionClass : kClass;
  json["sample_size"] = sample_size ? Json(*sample_size) : Json();
  json["in_channels"] = in_channels;
  json["out_channels"] = out_channels;
  json["center_input_sample"] = center_input_sample;
  json["flip_sin_to_cos"] = flip_sin_to_cos;
  // The class declares an integer; writing 0.0 would change files that nobody changed.
  json["freq_shift"] =
      freq_shift == static_cast<int64_t>(freq_shift) ? Json(static_cast<int64_t>(freq_shift)) : Json(freq_shift);
  json["down_block_types"] = down_block_types;
  json["up_block_types"] = up_block_types;
  json["block_out_channels"] = block_out_channels;
  json["layers_per_block"] = per_block_json(layers_per_block);
  json["transformer_layers_per_block"] = per_block_json(transformer_layers_per_block);
  json[heads_by_name ? "num_attention_heads" : "attention_head_dim"] = per_block_json(heads);
  json["cross_attention_dim"] = cross_attention_dim;
  json["downsample_padding"] = downsample_padding;
  json["norm_num_groups"] = norm_num_groups;
  json["norm_eps"] = norm_eps;
  json["use_linear_projection"] = use_linear_projection;
  json["upcast_attention"] = upcast_attention;
  json["conv_in_kernel"] = conv_in_kernel;
  json["conv_out_kernel"] = conv_out_kernel;
  if (text_time) {
    json["addition_embed_type"] = "text_time";
    json["addition_time_embed_dim"] = text_time->time_channels;
    json["projection_class_embeddings_input_dim"] = text_time->in_channels;
  }
  if (motion) {
    motion->put_into(json);
    json["down_block_types"] = renamed(down_block_types, "2D", "Motion");
    json["up_block_types"] = renamed(up_block_types, "2D", "Motion");
    json["num_attention_heads"] = per_block_json(heads);  // the one name that this class knows
    json.erase("attention_head_dim");
  }
  return json;
}

void UNetConfig::check() const {
  const size_t blocks = block_out_channels.size();
  need_size("down_block_types", down_block_types.size(), blocks);
  need_size("up_block_types", up_block_types.size(), blocks);
  need_size("layers_per_block", layers_per_block.size(), blocks);
  need_size("transformer_layers_per_block", transformer_layers_per_block.size(), blocks);
  need_size("attention_head_dim", heads.size(), blocks);
  if (motion) {
    need_size("motion_num_attention_heads", motion->heads.size(), blocks);
    need_size("temporal_transformer_layers_per_block", motion->layers.size(), blocks);
  }
  need_types("down_block_types", down_block_types, "DownBlock2D", "CrossAttnDownBlock2D");
  need_types("up_block_types", up_block_types, "UpBlock2D", "CrossAttnUpBlock2D");
  if (conv_in_kernel % 2 == 0 || conv_out_kernel % 2 == 0)
    throw InvalidArgument(message(kClass, " config: \"conv_in_kernel\" and \"conv_out_kernel\" must be odd, got ",
                                  conv_in_kernel, " and ", conv_out_kernel, ". Fix: use 3"));
}

}  // namespace sara
