// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/files/json.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace sara {

// The config.json of an AutoencoderKL. The defaults are those of the published class (a toy of one block). The number
// of DownEncoderBlock2D / UpDecoderBlock2D is block_out_channels.size(); each but the last halves the picture.
struct VaeConfig {
  int64_t in_channels = 3, out_channels = 3;
  std::vector<int64_t> block_out_channels{64};
  int64_t layers_per_block = 1;  // of the encoder; the decoder has one more
  int64_t latent_channels = 4;
  int64_t norm_num_groups = 32;
  int64_t sample_size = 32;  // side of the pictures it was trained on; the model takes any size
  double scaling_factor = 0.18215;
  std::optional<double> shift_factor;  // latents for the denoiser: (z - shift_factor) · scaling_factor
  bool use_quant_conv = true, use_post_quant_conv = true;
  bool mid_block_add_attention = true;
  bool force_upcast = true;  // fp16 overflows in it: a pipeline in fp16 runs it in fp32

  Json source = Json::object();  // what from_json read; keys unknown here survive in to_json

  // Throws InvalidArgument naming the key when a value is malformed or asks for a variant that is not supported.
  static VaeConfig from_json(const Json& json);
  Json to_json() const;
  // Pixels per latent position along a side: 8 for Stable Diffusion.
  int64_t factor() const { return int64_t{1} << (block_out_channels.size() - 1); }
};

}  // namespace sara
