// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/clip_score.h"

#include <torch/types.h>

#include "sara/base/error.h"

namespace sara {
namespace {

torch::Tensor of_unit_length(const torch::Tensor& rows) {
  const auto x = rows.to(torch::kCPU, torch::kFloat64);
  return x / x.norm(2, {1}, /*keepdim=*/true);
}

void check_rows(const torch::Tensor& one, const torch::Tensor& other, bool same_count) {
  if (one.dim() != 2 || other.dim() != 2 || one.size(0) < 1 || other.size(0) < 1 || one.size(1) != other.size(1) || (same_count && one.size(0) != other.size(0)))
    throw InvalidArgument(message("CLIP score: embeddings do not fit each other (got ", one.sizes(), " and ", other.sizes(), "). Fix: embed both with one model",
                                  same_count ? ", a caption a picture" : ""));
}

}  // namespace

double clip_t(const torch::Tensor& image_embeddings, const torch::Tensor& text_embeddings) {
  check_rows(image_embeddings, text_embeddings, true);
  return 100 * (of_unit_length(image_embeddings) * of_unit_length(text_embeddings)).sum(1).mean().item<double>();
}

double clip_i(const torch::Tensor& generated, const torch::Tensor& reference) {
  check_rows(generated, reference, false);
  // The mean over pairs of a product is the product of the means.
  return of_unit_length(generated).mean(0).dot(of_unit_length(reference).mean(0)).item<double>();
}

}  // namespace sara
