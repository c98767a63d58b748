// SPDX-License-Identifier: Apache-2.0
#include "sara/base/random.h"

#include <numeric>
#include <utility>

#include "sara/base/hash.h"

namespace sara {

uint64_t stream_key(uint64_t seed, std::string_view stream, uint64_t a, uint64_t b) {
  uint64_t key = hash64(stream, seed);
  key = mixed_bits(key + 0x9e3779b97f4a7c15ULL * (a + 1));
  return mixed_bits(key + 0xd1b54a32d192ed03ULL * (b + 1));
}

uint64_t RandomStream::next() { return random_bits(key_, counter_++); }

uint64_t RandomStream::below(uint64_t limit) {
  const uint64_t rejected = -limit % limit;  // 2^64 mod limit: draws below it would favour small numbers
  for (;;) {
    const uint64_t draw = next();
    if (draw >= rejected) return draw % limit;
  }
}

double RandomStream::uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

std::vector<int64_t> permutation(int64_t count, uint64_t key) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  RandomStream stream(key);
  for (int64_t last = count - 1; last > 0; --last) std::swap(order[last], order[stream.below(last + 1)]);
  return order;
}

}  // namespace sara
