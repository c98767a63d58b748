// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>

#include <cstdint>

namespace sara {

// Fills every parameter of a model from this library with the distribution that the published classes start from:
//   Linear, Conv2d    weight and bias uniform in ±1/sqrt(fan_in)
//   GroupNorm, LayerNorm, RmsNorm    weight 1, bias 0
//   Embedding         normal, deviation 1
//   ClipTextModel     with d = hidden_size, L = layers, f = initializer_factor: embeddings normal, deviation 0.02 f;
//                     q, k, v and fc2 (2 L d)^-½ f; out_proj d^-½ f; fc1 (2 d)^-½ f; text_projection d^-½ f; biases 0
//   PatchEmbed        also its table of positions
// Every parameter has its own stream keyed by (seed, its name), so a value depends on nothing else: not on the other
// parameters, the dtype (drawn in fp32, then rounded), the device or the number of threads.
void initialize_(torch::nn::Module& model, uint64_t seed);

}  // namespace sara
