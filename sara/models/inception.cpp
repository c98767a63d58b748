// SPDX-License-Identifier: Apache-2.0
#include "sara/models/inception.h"

#include "sara/base/error.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {
namespace {

struct NamedConv {
  const char* name;
  InceptionConv::Shape shape;  // in, out, height, width, stride, padded
};

constexpr NamedConv kStem[] = {
    {"Conv2d_1a_3x3", {3, 32, 3, 3, 2, false}},  {"Conv2d_2a_3x3", {32, 32, 3, 3, 1, false}}, {"Conv2d_2b_3x3", {32, 64, 3, 3}},
    {"Conv2d_3b_1x1", {64, 80}},                 {"Conv2d_4a_3x3", {80, 192, 3, 3, 1, false}},
};
constexpr NamedConv kMixed6a[] = {
    {"branch3x3", {288, 384, 3, 3, 2, false}},
    {"branch3x3dbl_1", {288, 64}},
    {"branch3x3dbl_2", {64, 96, 3, 3}},
    {"branch3x3dbl_3", {96, 96, 3, 3, 2, false}},
};
constexpr NamedConv kMixed7a[] = {
    {"branch3x3_1", {768, 192}},           {"branch3x3_2", {192, 320, 3, 3, 2, false}}, {"branch7x7x3_1", {768, 192}},
    {"branch7x7x3_2", {192, 192, 1, 7}},   {"branch7x7x3_3", {192, 192, 7, 1}},         {"branch7x7x3_4", {192, 192, 3, 3, 2, false}},
};

torch::Tensor average_3x3(const torch::Tensor& x) {
  return at::avg_pool2d(x, {3, 3}, {1, 1}, {1, 1}, /*ceil_mode=*/false, /*count_include_pad=*/false);
}

torch::Tensor halved_maximum(const torch::Tensor& x) { return at::max_pool2d(x, {3, 3}, {2, 2}); }

}  // namespace

InceptionConv::InceptionConv(const Shape& shape, const torch::TensorOptions& options) : shape_(shape) {
  auto conv = register_module("conv", std::make_shared<torch::nn::Module>());
  auto bn = register_module("bn", std::make_shared<torch::nn::Module>());
  weight_ = conv->register_parameter("weight", torch::empty({shape.out, shape.in, shape.height, shape.width}, options));
  scale_ = bn->register_parameter("weight", torch::empty({shape.out}, options));
  shift_ = bn->register_parameter("bias", torch::empty({shape.out}, options));
  mean_ = bn->register_buffer("running_mean", torch::empty({shape.out}, options));
  variance_ = bn->register_buffer("running_var", torch::empty({shape.out}, options));
}

torch::Tensor InceptionConv::forward(const torch::Tensor& x) const {
  const int64_t rows = shape_.padded ? shape_.height / 2 : 0, columns = shape_.padded ? shape_.width / 2 : 0;
  const auto product = at::conv2d(x, weight_, {}, shape_.stride, at::IntArrayRef{rows, columns});
  return at::batch_norm(product, scale_, shift_, mean_, variance_, /*training=*/false, 0, /*eps=*/1e-3, /*cudnn_enabled=*/false).relu_();
}

InceptionV3::InceptionV3(const torch::TensorOptions& options) {
  for (const auto& [name, shape] : kStem) add(name, shape, options);
  int64_t in = 192;
  for (const auto& [block, pooled] : {std::pair<std::string, int64_t>{"Mixed_5b.", 32}, {"Mixed_5c.", 64}, {"Mixed_5d.", 64}}) {
    add(block + "branch1x1", {in, 64}, options);
    add(block + "branch5x5_1", {in, 48}, options);
    add(block + "branch5x5_2", {48, 64, 5, 5}, options);
    add(block + "branch3x3dbl_1", {in, 64}, options);
    add(block + "branch3x3dbl_2", {64, 96, 3, 3}, options);
    add(block + "branch3x3dbl_3", {96, 96, 3, 3}, options);
    add(block + "branch_pool", {in, pooled}, options);
    in = 224 + pooled;
  }
  for (const auto& [name, shape] : kMixed6a) add(std::string("Mixed_6a.") + name, shape, options);
  for (const auto& [block, inner] :
       {std::pair<std::string, int64_t>{"Mixed_6b.", 128}, {"Mixed_6c.", 160}, {"Mixed_6d.", 160}, {"Mixed_6e.", 192}}) {
    add(block + "branch1x1", {768, 192}, options);
    add(block + "branch7x7_1", {768, inner}, options);
    add(block + "branch7x7_2", {inner, inner, 1, 7}, options);
    add(block + "branch7x7_3", {inner, 192, 7, 1}, options);
    add(block + "branch7x7dbl_1", {768, inner}, options);
    add(block + "branch7x7dbl_2", {inner, inner, 7, 1}, options);
    add(block + "branch7x7dbl_3", {inner, inner, 1, 7}, options);
    add(block + "branch7x7dbl_4", {inner, inner, 7, 1}, options);
    add(block + "branch7x7dbl_5", {inner, 192, 1, 7}, options);
    add(block + "branch_pool", {768, 192}, options);
  }
  for (const auto& [name, shape] : kMixed7a) add(std::string("Mixed_7a.") + name, shape, options);
  for (const auto& [block, wide] : {std::pair<std::string, int64_t>{"Mixed_7b.", 1280}, {"Mixed_7c.", 2048}}) {
    add(block + "branch1x1", {wide, 320}, options);
    add(block + "branch3x3_1", {wide, 384}, options);
    add(block + "branch3x3_2a", {384, 384, 1, 3}, options);
    add(block + "branch3x3_2b", {384, 384, 3, 1}, options);
    add(block + "branch3x3dbl_1", {wide, 448}, options);
    add(block + "branch3x3dbl_2", {448, 384, 3, 3}, options);
    add(block + "branch3x3dbl_3a", {384, 384, 1, 3}, options);
    add(block + "branch3x3dbl_3b", {384, 384, 3, 1}, options);
    add(block + "branch_pool", {wide, 192}, options);
  }
}

void InceptionV3::add(const std::string& name, const InceptionConv::Shape& shape, const torch::TensorOptions& options) {
  convs_[name] = make_at<InceptionConv>(*this, name, shape, options);
}

torch::Tensor InceptionV3::conv(const std::string& name, const torch::Tensor& x) const { return convs_.at(name)->forward(x); }

torch::Tensor InceptionV3::branch(const std::string& block, std::initializer_list<const char*> names, torch::Tensor x) const {
  for (const char* name : names) x = conv(block + name, x);
  return x;
}

torch::Tensor InceptionV3::mixed_5(const std::string& block, const torch::Tensor& x) const {
  return at::cat({branch(block, {"branch1x1"}, x), branch(block, {"branch5x5_1", "branch5x5_2"}, x),
                  branch(block, {"branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"}, x), branch(block, {"branch_pool"}, average_3x3(x))},
                 1);
}

torch::Tensor InceptionV3::mixed_6a(const torch::Tensor& x) const {
  const std::string block = "Mixed_6a.";
  return at::cat({branch(block, {"branch3x3"}, x), branch(block, {"branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"}, x), halved_maximum(x)}, 1);
}

torch::Tensor InceptionV3::mixed_6(const std::string& block, const torch::Tensor& x) const {
  return at::cat({branch(block, {"branch1x1"}, x), branch(block, {"branch7x7_1", "branch7x7_2", "branch7x7_3"}, x),
                  branch(block, {"branch7x7dbl_1", "branch7x7dbl_2", "branch7x7dbl_3", "branch7x7dbl_4", "branch7x7dbl_5"}, x),
                  branch(block, {"branch_pool"}, average_3x3(x))},
                 1);
}

torch::Tensor InceptionV3::mixed_7a(const torch::Tensor& x) const {
  const std::string block = "Mixed_7a.";
  return at::cat({branch(block, {"branch3x3_1", "branch3x3_2"}, x),
                  branch(block, {"branch7x7x3_1", "branch7x7x3_2", "branch7x7x3_3", "branch7x7x3_4"}, x), halved_maximum(x)},
                 1);
}

torch::Tensor InceptionV3::mixed_7(const std::string& block, const torch::Tensor& x, bool max_pool) const {
  const auto single = branch(block, {"branch3x3_1"}, x), twice = branch(block, {"branch3x3dbl_1", "branch3x3dbl_2"}, x);
  const auto pooled = max_pool ? at::max_pool2d(x, {3, 3}, {1, 1}, {1, 1}) : average_3x3(x);
  return at::cat({branch(block, {"branch1x1"}, x), conv(block + "branch3x3_2a", single), conv(block + "branch3x3_2b", single),
                  conv(block + "branch3x3dbl_3a", twice), conv(block + "branch3x3dbl_3b", twice), conv(block + "branch_pool", pooled)},
                 1);
}

torch::Tensor InceptionV3::forward(const torch::Tensor& pixels) const {
  if (pixels.dim() != 4 || pixels.size(1) != 3 || pixels.size(2) != kSide || pixels.size(3) != kSide)
    throw InvalidArgument(message("Inception v3: pixels have the wrong shape (expected [B, 3, 299, 299], got ", pixels.sizes(),
                                  "). Fix: resize the pictures to 299 x 299"));
  auto x = halved_maximum(branch("", {"Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"}, pixels));
  x = halved_maximum(branch("", {"Conv2d_3b_1x1", "Conv2d_4a_3x3"}, x));
  for (const char* block : {"Mixed_5b.", "Mixed_5c.", "Mixed_5d."}) x = mixed_5(block, x);
  x = mixed_6a(x);
  for (const char* block : {"Mixed_6b.", "Mixed_6c.", "Mixed_6d.", "Mixed_6e."}) x = mixed_6(block, x);
  x = mixed_7a(x);
  x = mixed_7("Mixed_7b.", x, /*max_pool=*/false);
  x = mixed_7("Mixed_7c.", x, /*max_pool=*/true);
  return x.mean({2, 3});
}

}  // namespace sara
