// SPDX-License-Identifier: Apache-2.0
#include "sara/base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace sara {

uint64_t hash64(std::string_view bytes, uint64_t seed) { return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed); }

struct Hasher::State {
  XXH3_state_t xxh;
};

Hasher::Hasher() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;

void Hasher::update(const void* data, size_t size) { XXH3_128bits_update(&state_->xxh, data, size); }

std::string Hasher::hex() const {
  static const char* const digits = "0123456789abcdef";
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_->xxh));
  std::string out;
  for (const unsigned char byte : canonical.digest) out += {digits[byte >> 4], digits[byte & 15]};
  return out;
}

}  // namespace sara
