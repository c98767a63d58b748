// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/layer_schedule.h"

#include "sara/base/random.h"

namespace sara {

std::vector<RegularisedLayer> regularised_layers(int64_t count, int64_t step, const std::string& mode,
                                                 const std::string& reduction, uint64_t seed) {
  if (count == 0) return {};
  const double share = reduction == "mean" ? 1.0 / static_cast<double>(count) : 1.0;
  if (mode == "one") {
    RandomStream stream(seed, "rank_layer", static_cast<uint64_t>(step));
    return {{static_cast<int64_t>(stream.below(static_cast<uint64_t>(count))), share * static_cast<double>(count)}};
  }
  std::vector<RegularisedLayer> out;
  for (int64_t i = 0; i < count; ++i) out.push_back({i, share});
  return out;
}

}  // namespace sara
