// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sara/sparse/mask.h"

namespace sara {

// An order over all weights of a model, in which a selection rule takes them. Per weight it is a rank of 31 bits, lower
// ranks first, written for the flat positions [begin, end) of one tensor; nothing of the model's size is ever held.
// A writer is called from several threads at once.
using RankWriter = std::function<void(int64_t begin, int64_t end, uint32_t* ranks)>;
using Ranking = std::function<RankWriter(const std::string& name, const torch::Tensor& weight)>;

// By magnitude, the smallest first; by magnitude, the largest first.
Ranking smallest_first();
Ranking largest_first();

// A uniformly random order. A rank depends on (seed, tensor name, position) alone (base/random.h).
Ranking random_order(uint64_t seed);

// By |tuned - weight| (the difference in fp32), the largest first. `tuned` gives the tuned tensor of a name; it is read again
// for every pass and kept for none. Throws BadFile for NaN or infinite tuned weights, and what `tuned` throws.
using TunedTensors = std::function<torch::Tensor(const std::string& name, const torch::Tensor& weight)>;
Ranking most_changed_first(TunedTensors tuned);
constexpr uint32_t kUnchangedRank = 0x7fffffffu;  // the rank of a weight that has not moved

// Where the `count`-th weight (from 1) of an order stands: its rank, how many have a lower one, how many the same.
struct RankBound {
  uint32_t rank;
  int64_t lower, ties;
};

// Two histogram passes over the ranks, 16 bits then 15: no sort and no copy. 0 < count <= weights.
RankBound rank_bound(const NamedTensors& tensors, const Ranking& ranking, int64_t count);

// The first `count` weights of an order as a mask with one entry per tensor. Of weights with equal rank those of the earlier tensor
// and the lower position go first, so that the count is met exactly. The same at every thread count.
// `bound`: rank_bound() of the same arguments.
Mask first_ranked(const NamedTensors& tensors, const Ranking& ranking, int64_t count, const RankBound& bound);

}  // namespace sara
