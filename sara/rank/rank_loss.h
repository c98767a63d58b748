// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/rank/nuclear_norm.h"
#include "sara/sparse/values.h"

namespace sara {

struct RankLossOptions {
  double lambda_rank = 5e-3;      // 0: no rank loss
  std::string mode = "one";       // matrices per step: "one" or "all"
  std::string layers = "linear";  // scope: "linear" = tensors of two dimensions, "all" = convolutions [o, i kh kw] too
  std::string reduction = "mean"; // over matrices: "mean" or "sum"
  uint64_t seed = 0;
};

// Adds lambda_rank times the (sub)gradient of the rank loss on the active values to the compact gradient, and returns
// lambda_rank times the loss of the matrices used at this step (Sec. 4.2; what is penalised is P on the mask, not the
// change of P). Matrices with nothing active are not in the scope.
double add_rank_gradient_(const Values& values, int64_t step, const RankLossOptions& options);

// The spans of the compact gradient that add_rank_gradient_() changes at this step.
std::vector<torch::Tensor> regularised_gradients(const Values& values, int64_t step, const RankLossOptions& options);

// Whether any matrix is in the scope; without one the rank loss is 0.
bool has_rank_loss(const Values& values, const std::string& layers);

// Means over the matrices in scope (layers as above) of what was learned: P on the first mask, zeros elsewhere.
Spectrum mean_spectrum(const std::vector<Learned>& learned, const std::string& layers);

}  // namespace sara
