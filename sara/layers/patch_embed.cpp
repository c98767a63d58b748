// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/patch_embed.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>
#include <torch/utils.h>

namespace sara {

PatchEmbed::PatchEmbed(const PatchEmbedOptions& options, const torch::TensorOptions& tensor_options) : options_(options) {
  proj_ = make_at<Conv2d>(*this, "proj",
                          Conv2d::Shape{.in = options.in, .out = options.channels, .kernel = options.patch, .stride = options.patch, .padding = 0},
                          tensor_options);
  pos_embed_ = register_buffer("pos_embed", torch::empty({1, options.table_side * options.table_side, options.channels}, tensor_options));
}

torch::Tensor PatchEmbed::forward(const torch::Tensor& x) const {
  const int64_t side = options_.table_side, height = x.size(2) / options_.patch, width = x.size(3) / options_.patch;
  if (x.size(2) % options_.patch != 0 || x.size(3) % options_.patch != 0 || height > side || width > side)
    throw InvalidArgument(message("latents of ", x.size(2), " x ", x.size(3), " do not fit (expected multiples of ", options_.patch, " up to ",
                                  side * options_.patch, "). Fix: choose another picture size"));
  const auto middle = pos_embed_.view({side, side, -1}).narrow(0, (side - height) / 2, height).narrow(1, (side - width) / 2, width);
  const auto patches = proj_->forward(x).flatten(2).transpose(1, 2);
  return (patches + middle.reshape({1, height * width, -1})).to(patches.scalar_type()).contiguous();
}

void PatchEmbed::fill_table_() {
  const torch::NoGradGuard no_grad;
  const int64_t side = options_.table_side, quarter = options_.channels / 4;
  const auto places = torch::arange(side, torch::kFloat32) / (double(side) / double(options_.base_side));
  const auto frequencies = torch::pow(10000.0, -torch::arange(quarter, torch::kFloat64) / double(quarter));
  const auto angles = torch::outer(places.to(torch::kFloat64), frequencies);  // [side, quarter]
  const auto waves = torch::cat({angles.sin(), angles.cos()}, 1);
  const auto columns = waves.unsqueeze(0).expand({side, -1, -1}), rows = waves.unsqueeze(1).expand({-1, side, -1});
  pos_embed_.copy_(torch::cat({columns, rows}, 2).view({1, side * side, -1}));
}

}  // namespace sara
