// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace sara {

// XXH3: fast hashes that tell contents apart (not for secrets).
uint64_t hash64(std::string_view bytes, uint64_t seed = 0);

// Streaming XXH3-128 over bytes handed in pieces; hex() is 32 lower-case digits.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  void update(const void* data, size_t size);
  void update(std::string_view text) { update(text.data(), text.size()); }
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sara
