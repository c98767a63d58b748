// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/conv.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

struct PatchEmbedOptions {
  int64_t in = 0, channels = 0;
  int64_t patch = 2;
  int64_t table_side = 0;  // patches along a side that the position table holds
  int64_t base_side = 0;   // patches along a side of the pictures it was trained on: the unit of the positions
};

// A feature map cut into patches, each projected, plus its position: the middle of a fixed table. Parameters
// proj.weight [channels, in, patch, patch], proj.bias; buffer pos_embed [1, table_side^2, channels], not initialised:
// files carry it. x is [B, in, H, W] -> [B, H/patch · W/patch, channels].
class PatchEmbed : public torch::nn::Module {
 public:
  PatchEmbed(const PatchEmbedOptions& options, const torch::TensorOptions& tensor_options);
  // Throws InvalidArgument when a side is no multiple of the patch or exceeds the table.
  torch::Tensor forward(const torch::Tensor& x) const;

  // Fills the table: with column x and row y of a patch in units of table_side / base_side and w_i = 10000^(-4 i / channels),
  // [sin(x w), cos(x w), sin(y w), cos(y w)], a quarter of the channels each.
  void fill_table_();

 private:
  PatchEmbedOptions options_;
  std::shared_ptr<Conv2d> proj_;
  torch::Tensor pos_embed_;
};

}  // namespace sara
