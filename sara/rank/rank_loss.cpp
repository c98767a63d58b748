// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/rank_loss.h"

#include "sara/rank/layer_schedule.h"
#include "sara/rank/nuclear_norm.h"

namespace sara {

double add_rank_gradient_(const Values& values, int64_t step, const RankLossOptions& options) {
  if (options.lambda_rank == 0) return 0;
  std::vector<const Values::Slot*> matrices;
  for (const Values::Slot& slot : values.slots()) {
    const int64_t dimensions = slot.weight.dim();
    const bool matrix = dimensions == 2 || (options.layers == "all" && dimensions > 2);
    if (matrix && slot.end > slot.begin) matrices.push_back(&slot);
  }
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

}  // namespace sara
