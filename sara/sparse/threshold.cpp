// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/threshold.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <limits>

#include "sara/base/error.h"
#include "sara/sparse/magnitude.h"

namespace sara {
namespace {

using Histogram = std::vector<int64_t>;
constexpr int kLowBits = 15;  // 31 bits of magnitude = 16 counted first, then 15 inside one bucket

// Histogram of bucket_of(bits) over all weights; weights with a negative bucket are not counted.
template <class BucketOf>
Histogram histogram(const NamedTensors& tensors, size_t buckets, BucketOf bucket_of) {
  std::vector<Histogram> local(at::get_num_threads());
  for (const auto& [name, tensor] : tensors) {
    with_elements(flat_on_cpu(tensor), [&](const auto* data, int64_t count) {
      at::parallel_for(0, count, 1 << 16, [&](int64_t begin, int64_t end) {
        Histogram& mine = local[at::get_thread_num()];
        mine.resize(buckets);
        for (int64_t i = begin; i < end; ++i) {
          const int64_t bucket = bucket_of(magnitude_bits(static_cast<float>(data[i])));
          if (bucket >= 0) ++mine[bucket];
        }
      });
    });
  }
  Histogram sum(buckets);
  for (const auto& mine : local)
    for (size_t i = 0; i < mine.size(); ++i) sum[i] += mine[i];
  return sum;
}

// The bucket that holds the `rank`-th item (from 1); `rank` becomes the rank inside it.
int64_t bucket_with(const Histogram& counts, int64_t& rank) {
  int64_t bucket = 0;
  while (rank > counts[bucket]) rank -= counts[bucket++];
  return bucket;
}

}  // namespace

int64_t parse_budget(const std::string& budget, int64_t total) {
  const auto refuse = [&](const std::string& why) {
    throw InvalidArgument(message("budget: ", why, " (expected a count such as 5000 or 50M, or a share such as 5%, of at most ",
                                  total, " weights, got '", escaped(budget), "'). Fix: correct the budget"));
  };
  double number = 0;
  size_t used = 0;
  const bool numeric = !budget.empty() && (std::isdigit(static_cast<unsigned char>(budget[0])) || budget[0] == '.');
  if (!numeric || budget.find_first_of("xX") != std::string::npos) refuse("not a number");
  try {
    number = std::stod(budget, &used);
  } catch (const std::exception&) {
    refuse("not a number");
  }
  const std::string unit = budget.substr(used);
  if (unit == "%") number = number * static_cast<double>(total) / 100;
  else if (unit == "k" || unit == "K") number *= 1e3;
  else if (unit == "m" || unit == "M") number *= 1e6;
  else if (unit == "b" || unit == "B") number *= 1e9;
  else if (!unit.empty()) refuse("unknown unit");
  if (!(number <= static_cast<double>(total))) refuse("more than there is");
  const auto count = static_cast<int64_t>(std::llround(number));
  if (count < 1) refuse("nothing would be selected");
  return count;
}

double threshold_for_count(const NamedTensors& tensors, int64_t count) {
  int64_t rank = count;
  const int64_t high = bucket_with(histogram(tensors, size_t{1} << 16, [](uint32_t bits) { return int64_t{bits >> kLowBits}; }), rank);
  const Histogram inside = histogram(tensors, size_t{1} << kLowBits, [high](uint32_t bits) {
    return bits >> kLowBits == high ? int64_t{bits & ((1u << kLowBits) - 1)} : int64_t{-1};
  });
  const int64_t low = bucket_with(inside, rank);

  // Of the `ties` weights at this magnitude `rank` are wanted; taking all misses by ties - rank, none by rank.
  const float magnitude = std::bit_cast<float>(static_cast<uint32_t>(high << kLowBits | low));
  const int64_t ties = inside[low], below = count - rank;
  const bool take = below == 0 || ties - rank <= rank;
  return take ? std::nextafter(magnitude, std::numeric_limits<float>::infinity()) : magnitude;
}

}  // namespace sara
