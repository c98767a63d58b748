// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sara/tokenizers/vocabulary.h"

namespace sara {

// The byte-level alphabet: every byte as one printable character, so that any text has tokens. Printable Latin-1 bytes
// stand for themselves, the other 68 are U+0100 and on, in order. Index = byte, value = UTF-8.
const std::array<std::string, 256>& byte_alphabet();

// Byte pair encoding of single words. A word starts as one token per byte, the last one with `</w>`; then the adjacent
// pair that stands first in the merge list is joined, the leftmost of equals, until no pair is in the list.
// A heap of pairs makes that O(n log n) in the word's bytes. Words of up to 32 bytes are remembered.
class Bpe {
 public:
  // A byte without a token becomes `unknown_id`.
  Bpe(const Vocabulary& vocabulary, int64_t unknown_id);

  // Appends the ids of one word (UTF-8 or any bytes, not empty). May be called from several threads at once.
  void encode(std::string_view word, std::vector<int64_t>& ids) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t result;
  };
  const Merge* find_merge(int32_t left, int32_t right) const;
  std::vector<int64_t> merged(std::string_view word) const;

  std::array<int32_t, 256> byte_id_, last_byte_id_;
  std::unordered_map<uint64_t, Merge> merges_;  // key: left id << 32 | right id
  mutable std::mutex mutex_;
  mutable std::unordered_map<std::string, std::vector<int64_t>> remembered_;
};

}  // namespace sara
