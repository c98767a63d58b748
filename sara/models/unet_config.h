// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/files/json.h"
#include "sara/models/motion_config.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sara {

// text_time conditioning (SDXL): the sinusoids of every time id and the pooled text, joined, are embedded and added to
// the timestep's embedding.
struct TextTimeConfig {
  int64_t time_channels = 256;  // key addition_time_embed_dim: sinusoids of one time id
  int64_t in_channels = 2816;   // key projection_class_embeddings_input_dim: pooled text + time ids * time_channels
};

// The config.json of a UNet2DConditionModel in its SD 1.x, 2.x and XL forms, or, with motion, of a UNetMotionModel, whose
// block types go by their names without "Motion" here. The defaults are those of the published class.
// Lists go from the outermost resolution inwards, one entry a block; the up blocks mirror them.
struct UNetConfig {
  std::optional<int64_t> sample_size;  // side of the latents a pipeline makes by default; the model takes any size
  int64_t in_channels = 4, out_channels = 4;
  bool center_input_sample = false;  // feed 2 x - 1
  bool flip_sin_to_cos = true;
  double freq_shift = 0;
  std::vector<std::string> down_block_types{"CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                            "DownBlock2D"};
  std::vector<std::string> up_block_types{"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
                                          "CrossAttnUpBlock2D"};
  std::vector<int64_t> block_out_channels{320, 640, 1280, 1280};
  std::vector<int64_t> layers_per_block{2, 2, 2, 2};
  std::vector<int64_t> transformer_layers_per_block{1, 1, 1, 1};
  std::vector<int64_t> heads{8, 8, 8, 8};  // key attention_head_dim, a misnomer of the format, or num_attention_heads
  int64_t cross_attention_dim = 1280;
  int64_t downsample_padding = 1;
  int64_t norm_num_groups = 32;
  double norm_eps = 1e-5;
  bool use_linear_projection = false;  // SD 2.x
  bool upcast_attention = false;
  int64_t conv_in_kernel = 3, conv_out_kernel = 3;
  std::optional<TextTimeConfig> text_time;  // key addition_embed_type: text_time or null
  std::optional<MotionConfig> motion;       // AnimateDiff

  Json source = Json::object();  // what from_json read; keys unknown here survive in to_json

  // Throws InvalidArgument naming the key when a value is malformed or asks for a variant that is not supported.
  static UNetConfig from_json(const Json& json);
  Json to_json() const;
  // Throws InvalidArgument when the fields contradict each other. The model's constructor calls it.
  void check() const;
};

}  // namespace sara
