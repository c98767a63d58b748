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

// One matrix of the rank loss at a step: its place in values.slots(), and the factor of its nuclear norm, lambda_rank included.
struct RankTerm {
  size_t slot;
  double factor;
};

// The matrices of this step (Sec. 4.2; what is penalised is P on the mask, not the change of P). Matrices with nothing active
// are not in the scope.
std::vector<RankTerm> rank_terms(const Values& values, int64_t step, const RankLossOptions& options);

// Adds factor times the (sub)gradient of the matrix's nuclear norm on its active values to `gradient` [n] fp32, and returns factor
// times the norm.
double add_rank_term_(const Values& values, const RankTerm& term, const torch::Tensor& gradient);

// Adds all terms of a step to the compact gradient, and returns their sum: lambda_rank times the loss of the matrices used.
double add_rank_gradient_(const Values& values, int64_t step, const RankLossOptions& options);

// Seconds that the terms of a step take, of mode "one" on average over its draws: a matrix of every shape and density (by steps of a fifth) in
// the scope is timed.
double rank_seconds(const Values& values, const RankLossOptions& options);

// Whether any matrix is in the scope; without one the rank loss is 0.
bool has_rank_loss(const Values& values, const std::string& layers);

// Means over the matrices in scope (layers as above) of what was learned: P on the first mask, zeros elsewhere.
Spectrum mean_spectrum(const std::vector<Learned>& learned, const std::string& layers);

}  // namespace sara
