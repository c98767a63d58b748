// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sara {

// Counter-based randomness: a draw depends only on (seed, stream name, epoch or step, index), never on what was drawn
// before, so that switching one thing on does not shift another, and a resumed run sees the same numbers.

// SplitMix64's finaliser (Steele, Lea, Flood 2014).
inline uint64_t mixed_bits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// The 64-bit key of one stream; also a good seed for a torch generator.
uint64_t stream_key(uint64_t seed, std::string_view stream, uint64_t a = 0, uint64_t b = 0);

// The number at a place of a stream: 64 uniform bits of (key, place), for draws that are made in any order.
inline uint64_t random_bits(uint64_t key, uint64_t place) { return mixed_bits(key + 0x9e3779b97f4a7c15ULL * (place + 1)); }

// A short stream of numbers under one key (SplitMix64 of key + counter).
class RandomStream {
 public:
  explicit RandomStream(uint64_t key) : key_(key) {}
  RandomStream(uint64_t seed, std::string_view stream, uint64_t a = 0, uint64_t b = 0)
      : key_(stream_key(seed, stream, a, b)) {}
  uint64_t next();                 // 64 uniform bits
  uint64_t below(uint64_t limit);  // uniform in 0..limit-1, without bias; limit > 0
  double uniform();                // uniform in [0, 1), 53 bits

 private:
  uint64_t key_, counter_ = 0;
};

// A uniformly random order of 0..count-1 (Fisher-Yates).
std::vector<int64_t> permutation(int64_t count, uint64_t key);

}  // namespace sara
