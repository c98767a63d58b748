// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace sara {

// Which samples each step takes: every epoch is a fresh random order of all samples, the stream "shuffle" keyed by
// epoch, and the epochs are laid end to end. Batch s is the places s·batch_size ... (s+1)·batch_size - 1 of that line,
// so a batch at the end of an epoch goes on into the next one, and no sample is left out or doubled within an epoch. A
// pure function of (samples, batch_size, seed, step): resuming needs the step alone. One object is for one thread.
class BatchOrder {
 public:
  // InvalidArgument unless both counts are at least 1.
  BatchOrder(int64_t samples, int64_t batch_size, uint64_t seed);

  // Data position as two integers: the epoch, and how many of its samples came before.
  struct Position {
    int64_t epoch = 0, position = 0;
    bool operator==(const Position&) const = default;
  };
  // One element of a batch; the epoch keys its random crop, flip and caption.
  struct Draw {
    int64_t epoch = 0, sample = 0;
    bool operator==(const Draw&) const = default;
  };

  Position position(int64_t step) const;           // where batch `step` (from 0) begins
  std::vector<Draw> draws(int64_t step) const;     // batch_size of them
  std::vector<int64_t> batch(int64_t step) const;  // the samples of draws(step)
  int64_t steps_per_epoch() const;                 // batches that touch one epoch, rounded up

  int64_t samples() const { return samples_; }
  int64_t batch_size() const { return batch_size_; }

 private:
  const std::vector<int64_t>& order(int64_t epoch) const;

  int64_t samples_, batch_size_;
  uint64_t seed_;
  mutable int64_t order_epoch_ =
      -1;  // the last order asked for is kept: a permutation costs as much as an epoch is long
  mutable std::vector<int64_t> order_;
};

}  // namespace sara
