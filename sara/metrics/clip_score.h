// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// CLIP score, also called CLIP-T: 100 times the mean cosine of each picture and its own caption, not clamped at 0. Both [N, d].
// Throws InvalidArgument unless the shapes are equal and N is at least 1.
double clip_t(const torch::Tensor& image_embeddings, const torch::Tensor& text_embeddings);

// CLIP-I: mean cosine over all pairs of a generated and a reference picture, [N, d] and [M, d]; 1 at most.
// Throws InvalidArgument unless both have the same d and at least one row.
double clip_i(const torch::Tensor& generated, const torch::Tensor& reference);

}  // namespace sara
