// SPDX-License-Identifier: Apache-2.0
#include "sara/data/batches.h"

#include "sara/base/error.h"
#include "sara/base/random.h"

namespace sara {

BatchOrder::BatchOrder(int64_t samples, int64_t batch_size, uint64_t seed)
    : samples_(samples), batch_size_(batch_size), seed_(seed) {
  if (samples < 1) throw InvalidArgument(message("samples: expected at least 1, got ", samples));
  if (batch_size < 1) throw InvalidArgument(message("batch_size: expected at least 1, got ", batch_size));
}

BatchOrder::Position BatchOrder::position(int64_t step) const {
  SARA_CHECK(step >= 0, "step ", step);
  const int64_t place = step * batch_size_;
  return {place / samples_, place % samples_};
}

std::vector<BatchOrder::Draw> BatchOrder::draws(int64_t step) const {
  auto [epoch, at] = position(step);
  std::vector<Draw> out;
  out.reserve(static_cast<size_t>(batch_size_));
  while (static_cast<int64_t>(out.size()) < batch_size_) {
    if (at == samples_) ++epoch, at = 0;
    out.push_back({epoch, order(epoch)[static_cast<size_t>(at++)]});
  }
  return out;
}

std::vector<int64_t> BatchOrder::batch(int64_t step) const {
  std::vector<int64_t> out;
  for (const auto& draw : draws(step)) out.push_back(draw.sample);
  return out;
}

int64_t BatchOrder::steps_per_epoch() const { return (samples_ + batch_size_ - 1) / batch_size_; }

const std::vector<int64_t>& BatchOrder::order(int64_t epoch) const {
  if (epoch != order_epoch_) {
    order_ = permutation(samples_, stream_key(seed_, "shuffle", static_cast<uint64_t>(epoch)));
    order_epoch_ = epoch;
  }
  return order_;
}

}  // namespace sara
