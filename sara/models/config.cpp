// SPDX-License-Identifier: Apache-2.0
#include "sara/models/config.h"

namespace sara {

UNetConfig sd15() {
  UNetConfig config;
  config.sample_size = 64;
  config.cross_attention_dim = 768;
  return config;
}

UNetConfig sd20() {
  UNetConfig config;
  config.sample_size = 64;
  config.cross_attention_dim = 1024;
  config.heads = {5, 10, 20, 20};
  config.use_linear_projection = true;
  return config;
}

VaeConfig sd_vae() {
  VaeConfig config;
  config.block_out_channels = {128, 256, 512, 512};
  config.layers_per_block = 2;
  config.sample_size = 512;
  return config;
}

ClipTextConfig clip_l() {
  ClipTextConfig config;
  config.hidden_size = 768;
  config.intermediate_size = 3072;
  config.num_attention_heads = 12;
  return config;
}

ClipTextConfig open_clip_h() {
  ClipTextConfig config;
  config.hidden_size = 1024;
  config.intermediate_size = 4096;
  config.num_hidden_layers = 23;
  config.num_attention_heads = 16;
  config.hidden_act = Activation::gelu;
  return config;
}

}  // namespace sara
