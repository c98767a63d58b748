// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/rank_loss.h"

#include "sara/rank/layer_schedule.h"
#include "sara/sparse/gather_scatter.h"

namespace sara {
namespace {

bool is_matrix(const torch::Tensor& weight, const std::string& layers) {
  return weight.dim() == 2 || (layers == "all" && weight.dim() > 2);
}

std::vector<const Values::Slot*> matrices_in_scope(const Values& values, const std::string& layers) {
  std::vector<const Values::Slot*> matrices;
  for (const Values::Slot& slot : values.slots())
    if (is_matrix(slot.weight, layers) && slot.end > slot.begin) matrices.push_back(&slot);
  return matrices;
}

}  // namespace

bool has_rank_loss(const Values& values, const std::string& layers) { return !matrices_in_scope(values, layers).empty(); }

std::vector<torch::Tensor> regularised_gradients(const Values& values, int64_t step, const RankLossOptions& options) {
  std::vector<torch::Tensor> spans;
  if (options.lambda_rank == 0) return spans;
  const auto matrices = matrices_in_scope(values, options.layers);
  for (const RegularisedLayer& layer : regularised_layers(static_cast<int64_t>(matrices.size()), step, options.mode, options.reduction, options.seed))
    spans.push_back(Values::span(values.gradient(), *matrices[static_cast<size_t>(layer.index)]));
  return spans;
}

double add_rank_gradient_(const Values& values, int64_t step, const RankLossOptions& options) {
  if (options.lambda_rank == 0) return 0;
  const auto matrices = matrices_in_scope(values, options.layers);
  double loss = 0;
  for (const auto& [index, weight] :
       regularised_layers(static_cast<int64_t>(matrices.size()), step, options.mode, options.reduction, options.seed)) {
    const Values::Slot& slot = *matrices[static_cast<size_t>(index)];
    const int64_t rows = slot.weight.size(0);
    const NuclearNorm norm = nuclear_norm(Values::span(values.values(), slot), slot.indices, rows, slot.weight.numel() / rows);
    const double factor = options.lambda_rank * weight;
    Values::span(values.gradient(), slot).add_(norm.gradient, factor);
    loss += factor * norm.value;
  }
  return loss;
}

Spectrum mean_spectrum(const std::vector<Learned>& learned, const std::string& layers) {
  Spectrum mean;
  int64_t matrices = 0;
  for (const Learned& item : learned) {
    if (!is_matrix(item.weight, layers) || item.indices.numel() == 0) continue;
    const int64_t rows = item.weight.size(0);
    const torch::Tensor dense = torch::zeros({rows, item.weight.numel() / rows}, item.values.options());
    scatter_(dense, item.indices, item.values);
    const auto [nuclear_norm, effective_rank] = spectrum(dense);
    const auto share = 1.0 / static_cast<double>(++matrices);
    mean.nuclear_norm += share * (nuclear_norm - mean.nuclear_norm);
    mean.effective_rank += share * (effective_rank - mean.effective_rank);
  }
  return mean;
}

}  // namespace sara
