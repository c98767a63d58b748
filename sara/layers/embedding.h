// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

namespace sara {

// A table of vectors. Parameter: weight [entries, channels]. ids are int64 of any shape in [0, entries).
class Embedding : public torch::nn::Module {
 public:
  Embedding(int64_t entries, int64_t channels, const torch::TensorOptions& options);
  // [...] -> [..., channels]
  torch::Tensor forward(const torch::Tensor& ids) const;

  torch::Tensor weight;
};

}  // namespace sara
