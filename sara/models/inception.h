// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <unordered_map>

namespace sara {

// relu(batch_norm(conv(x))) with fixed statistics, eps 1e-3. Parameters conv.weight [out, in, h, w], bn.weight, bn.bias;
// buffers bn.running_mean, bn.running_var, all [out].
class InceptionConv : public torch::nn::Module {
 public:
  struct Shape {
    int64_t in = 0, out = 0, height = 1, width = 1, stride = 1;
    bool padded = true;  // zeros at the sides, so that with stride 1 the map keeps its size
  };
  InceptionConv(const Shape& shape, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  Shape shape_;
  torch::Tensor weight_, scale_, shift_, mean_, variance_;
};

// The Inception v3 of the Fréchet Inception Distance: TensorFlow's ImageNet graph of 2015-12-05, under the names that its
// PyTorch conversions use (Conv2d_1a_3x3 ... Mixed_7c; the classifier `fc` is not part of it). Its branches differ from
// torchvision's network: average pooling does not count the padding, and the last block's pooling branch takes the maximum.
// The memory of the parameters is not initialised.
class InceptionV3 : public torch::nn::Module {
 public:
  static constexpr int64_t kSide = 299;
  static constexpr int64_t kFeatures = 2048;

  explicit InceptionV3(const torch::TensorOptions& options = {});

  // pixels [B, 3, 299, 299] in [-1, 1] -> the last average pooling ("pool3"), [B, 2048]. Throws InvalidArgument for another
  // shape.
  torch::Tensor forward(const torch::Tensor& pixels) const;

 private:
  void add(const std::string& name, const InceptionConv::Shape& shape, const torch::TensorOptions& options);
  torch::Tensor conv(const std::string& name, const torch::Tensor& x) const;
  torch::Tensor branch(const std::string& block, std::initializer_list<const char*> names, torch::Tensor x) const;
  torch::Tensor mixed_5(const std::string& block, const torch::Tensor& x) const;
  torch::Tensor mixed_6a(const torch::Tensor& x) const;
  torch::Tensor mixed_6(const std::string& block, const torch::Tensor& x) const;
  torch::Tensor mixed_7a(const torch::Tensor& x) const;
  torch::Tensor mixed_7(const std::string& block, const torch::Tensor& x, bool max_pool) const;

  std::unordered_map<std::string, std::shared_ptr<InceptionConv>> convs_;
};

}  // namespace sara
