// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/rank_loss.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "sara/base/log.h"
#include "sara/base/message.h"
#include "sara/rank/layer_schedule.h"
#include "sara/sparse/gather_scatter.h"

namespace sara {
namespace {

bool is_matrix(const torch::Tensor& weight, const std::string& layers) {
  return weight.dim() == 2 || (layers == "all" && weight.dim() > 2);
}

std::vector<size_t> matrices_in_scope(const Values& values, const std::string& layers) {
  std::vector<size_t> matrices;
  for (size_t i = 0; i < values.slots().size(); ++i)
    if (const Values::Slot& slot = values.slots()[i]; is_matrix(slot.weight, layers) && slot.end > slot.begin) matrices.push_back(i);
  return matrices;
}

}  // namespace

bool has_rank_loss(const Values& values, const std::string& layers) { return !matrices_in_scope(values, layers).empty(); }

std::vector<RankTerm> rank_terms(const Values& values, int64_t step, const RankLossOptions& options) {
  std::vector<RankTerm> terms;
  if (options.lambda_rank == 0) return terms;
  const auto matrices = matrices_in_scope(values, options.layers);
  for (const auto& [index, weight] : regularised_layers(static_cast<int64_t>(matrices.size()), step, options.mode, options.reduction, options.seed))
    terms.push_back({matrices[static_cast<size_t>(index)], options.lambda_rank * weight});
  return terms;
}

double add_rank_term_(const Values& values, const RankTerm& term, const torch::Tensor& gradient) {
  const Values::Slot& slot = values.slots()[term.slot];
  const int64_t rows = slot.weight.size(0);
  const NuclearNorm norm = nuclear_norm(values.values_of(slot), slot.indices, rows, slot.weight.numel() / rows);
  gradient.add_(norm.gradient, term.factor);
  return term.factor * norm.value;
}

double add_rank_gradient_(const Values& values, int64_t step, const RankLossOptions& options) {
  double loss = 0;
  for (const RankTerm& term : rank_terms(values, step, options))
    loss += add_rank_term_(values, term, values.gradient_of(term.slot));
  return loss;
}

double rank_seconds(const Values& values, const RankLossOptions& options) {
  if (options.lambda_rank == 0) return 0;
  const auto matrices = matrices_in_scope(values, options.layers);
  std::map<std::pair<std::vector<int64_t>, long>, double> of_kind;
  double all = 0;
  for (const size_t slot : matrices) {
    const Values::Slot& matrix = values.slots()[slot];
    const long density = std::lround(4 * std::log2(double(matrix.end - matrix.begin) / double(matrix.weight.numel())));
    auto [known, is_new] = of_kind.try_emplace({matrix.weight.sizes().vec(), density}, 0.0);
    for (int time = 0; is_new && time < 2; ++time) {  // the first warms up
      const torch::Tensor gradient = torch::zeros_like(values.values_of(matrix));
      const auto start = std::chrono::steady_clock::now();
      add_rank_term_(values, {slot, options.lambda_rank}, gradient);
      known->second = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    all += known->second;
  }
  return options.mode == "all" || matrices.empty() ? all : all / static_cast<double>(matrices.size());
}

Spectrum mean_spectrum(const std::vector<Learned>& learned, const std::string& layers) {
  Spectrum mean;
  const auto counts = [&layers](const Learned& item) { return is_matrix(item.weight, layers) && item.indices.numel() > 0; };
  const auto total = std::count_if(learned.begin(), learned.end(), counts);
  int64_t matrices = 0;
  for (const Learned& item : learned) {
    if (!counts(item)) continue;
    const int64_t rows = item.weight.size(0);
    const torch::Tensor dense = torch::zeros({rows, item.weight.numel() / rows}, item.values.options());
    scatter_(dense, item.indices, item.values);
    const auto [nuclear_norm, effective_rank] = spectrum(dense);
    const auto share = 1.0 / static_cast<double>(++matrices);
    mean.nuclear_norm += share * (nuclear_norm - mean.nuclear_norm);
    mean.effective_rank += share * (effective_rank - mean.effective_rank);
    log_progress(message("singular values of ", matrices, "/", total, " matrices"), matrices == total);  // minutes for SDXL
  }
  return mean;
}

}  // namespace sara
