// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/ranking.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "sara/base/error.h"
#include "sara/base/random.h"
#include "sara/sparse/magnitude.h"

namespace sara {
namespace {

constexpr int kLowBits = 15;            // 31 bits of rank = 16 counted first, then 15 inside one bucket
constexpr int64_t kBlock = 1 << 12;     // ranks held at a time by a thread
constexpr int64_t kSpan = 1 << 16;      // a thread's piece: fixed, so that nothing depends on the thread count
constexpr uint32_t kLargestRank = 0x7fffffffu;

int64_t span_count(int64_t numel) { return (numel + kSpan - 1) / kSpan; }

// Calls body(span, first position, ranks, how many) for every block of one tensor; spans run in parallel, blocks in order.
template <class Body>
void for_each_block(const RankWriter& write, int64_t numel, Body body) {
  at::parallel_for(0, span_count(numel), 1, [&](int64_t first, int64_t last) {
    std::array<uint32_t, kBlock> ranks;
    for (int64_t span = first; span < last; ++span) {
      const int64_t end = std::min(numel, (span + 1) * kSpan);
      for (int64_t begin = span * kSpan; begin < end; begin += kBlock) {
        const int64_t size = std::min(kBlock, end - begin);
        write(begin, begin + size, ranks.data());
        body(span, begin, ranks.data(), size);
      }
    }
  });
}

// Histogram of bucket_of(rank) over all weights; a bucket past the last is not counted.
template <class BucketOf>
std::vector<int64_t> rank_histogram(const NamedTensors& tensors, const Ranking& ranking, size_t buckets, BucketOf bucket_of) {
  std::vector<std::vector<int64_t>> local(at::get_num_threads());
  for (const auto& [name, tensor] : tensors) {
    const RankWriter write = ranking(name, tensor);
    for_each_block(write, tensor.numel(), [&](int64_t, int64_t, const uint32_t* ranks, int64_t size) {
      auto& mine = local[at::get_thread_num()];
      mine.resize(buckets + 1);
      for (int64_t i = 0; i < size; ++i) ++mine[std::min<size_t>(bucket_of(ranks[i]), buckets)];
    });
  }
  std::vector<int64_t> sum(buckets);
  for (const auto& mine : local)
    for (size_t i = 0; i < std::min(buckets, mine.size()); ++i) sum[i] += mine[i];
  return sum;
}

// The bucket that holds the `rank`-th item (from 1); `rank` becomes the place inside it.
int64_t bucket_with(const std::vector<int64_t>& counts, int64_t& rank) {
  int64_t bucket = 0;
  while (rank > counts[bucket]) rank -= counts[bucket++];
  return bucket;
}

// Ranks from one tensor's elements: rank_of(position, p).
template <class RankOf>
RankWriter element_ranks(const torch::Tensor& weight, RankOf rank_of) {
  return [flat = flat_on_cpu(weight), rank_of](int64_t begin, int64_t end, uint32_t* ranks) {
    with_elements(flat, [&](const auto* data, int64_t) {
      for (int64_t i = begin; i < end; ++i) ranks[i - begin] = rank_of(i, static_cast<float>(data[i]));
    });
  };
}

void require_same_shape(const std::string& name, const torch::Tensor& weight, const torch::Tensor& tuned) {
  if (weight.sizes() != tuned.sizes())
    throw BadFile(name, message("another shape in the tuned model (expected ", weight.sizes(), ", got ", tuned.sizes(), "). Fix: use a model tuned from this base"));
  if (const int64_t bad = tuned.isfinite().logical_not().sum().item<int64_t>())
    throw BadFile(name, message(bad, " of ", tuned.numel(), " tuned weights are NaN or infinite. Fix: use an intact tuned model"));
}

template <class Index>
Index* write_taken(const uint32_t* ranks, int64_t begin, int64_t size, uint32_t bound, int64_t& ties, Index* next) {
  for (int64_t i = 0; i < size; ++i)
    if (ranks[i] < bound || (ranks[i] == bound && ties-- > 0)) *next++ = static_cast<Index>(begin + i);
  return next;
}

// The indices of one tensor that lie before the bound; `wanted` of its ties are still to be taken, and what is taken is deducted.
torch::Tensor taken_indices(const RankWriter& write, const torch::Tensor& weight, uint32_t bound, int64_t& wanted) {
  const int64_t numel = weight.numel(), spans = span_count(numel);
  std::vector<int64_t> lower(spans), ties(spans), starts(spans);
  for_each_block(write, numel, [&](int64_t span, int64_t, const uint32_t* ranks, int64_t size) {
    for (int64_t i = 0; i < size; ++i) {
      lower[span] += ranks[i] < bound;
      ties[span] += ranks[i] == bound;
    }
  });
  int64_t total = 0;
  for (int64_t span = 0; span < spans; ++span) {
    ties[span] = std::min(ties[span], wanted);
    wanted -= ties[span];
    starts[span] = std::exchange(total, total + lower[span] + ties[span]);
  }
  const bool wide = numel > int64_t{1} << 31;
  const torch::Tensor indices = torch::empty({total}, wide ? torch::kLong : torch::kInt);
  for_each_block(write, numel, [&](int64_t span, int64_t begin, const uint32_t* ranks, int64_t size) {
    if (wide) {
      auto* out = indices.data_ptr<int64_t>();
      starts[span] = write_taken(ranks, begin, size, bound, ties[span], out + starts[span]) - out;
    } else {
      auto* out = indices.data_ptr<int32_t>();
      starts[span] = write_taken(ranks, begin, size, bound, ties[span], out + starts[span]) - out;
    }
  });
  return indices.to(weight.device());
}

}  // namespace

Ranking smallest_first() {
  return [](const std::string&, const torch::Tensor& weight) {
    return element_ranks(weight, [](int64_t, float p) { return magnitude_bits(p); });
  };
}

Ranking largest_first() {
  return [](const std::string&, const torch::Tensor& weight) {
    return element_ranks(weight, [](int64_t, float p) { return kLargestRank - magnitude_bits(p); });
  };
}

Ranking random_order(uint64_t seed) {
  return [seed](const std::string& name, const torch::Tensor&) -> RankWriter {
    return [key = stream_key(seed, "selection " + name)](int64_t begin, int64_t end, uint32_t* ranks) {
      for (int64_t i = begin; i < end; ++i) ranks[i - begin] = static_cast<uint32_t>(random_bits(key, i) >> 33);
    };
  };
}

Ranking most_changed_first(TunedTensors tuned) {
  return [tuned = std::move(tuned)](const std::string& name, const torch::Tensor& weight) -> RankWriter {
    const torch::Tensor other = tuned(name, weight);
    require_same_shape(name, weight, other);
    return [base = flat_on_cpu(weight), flat = flat_on_cpu(other)](int64_t begin, int64_t end, uint32_t* ranks) {
      with_elements(flat, [&](const auto* moved, int64_t) {
        with_elements(base, [&](const auto* from, int64_t) {
          for (int64_t i = begin; i < end; ++i)
            ranks[i - begin] = kUnchangedRank - magnitude_bits(static_cast<float>(moved[i]) - static_cast<float>(from[i]));
        });
      });
    };
  };
}

RankBound rank_bound(const NamedTensors& tensors, const Ranking& ranking, int64_t count) {
  int64_t place = count;
  const int64_t high = bucket_with(
      rank_histogram(tensors, ranking, size_t{1} << 16, [](uint32_t rank) { return size_t{rank >> kLowBits}; }), place);
  const auto inside = rank_histogram(tensors, ranking, size_t{1} << kLowBits, [high](uint32_t rank) {
    return rank >> kLowBits == high ? size_t{rank & ((1u << kLowBits) - 1)} : size_t{1} << kLowBits;
  });
  const int64_t low = bucket_with(inside, place);
  return {static_cast<uint32_t>(high << kLowBits | low), count - place, inside[low]};
}

Mask first_ranked(const NamedTensors& tensors, const Ranking& ranking, int64_t count, const RankBound& bound) {
  int64_t wanted = count - bound.lower;
  Mask mask;
  for (const auto& [name, tensor] : tensors)
    mask.push_back({name, tensor, taken_indices(ranking(name, tensor), tensor, bound.rank, wanted)});
  return mask;
}

}  // namespace sara
