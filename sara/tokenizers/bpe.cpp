// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/bpe.h"

#include <limits>
#include <queue>
#include <tuple>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr size_t kRememberedBytes = 32, kRememberedWords = 100000;

uint64_t pair_key(int32_t left, int32_t right) { return uint64_t(uint32_t(left)) << 32 | uint32_t(right); }

std::string latin(uint32_t c) {
  if (c < 0x80) return std::string(1, char(c));
  return {char(0xc0 | c >> 6), char(0x80 | (c & 0x3f))};
}

}  // namespace

const std::array<std::string, 256>& byte_alphabet() {
  static const auto alphabet = [] {
    std::array<std::string, 256> table;
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
      table[byte] = latin(printable ? byte : next++);
    }
    return table;
  }();
  return alphabet;
}

Bpe::Bpe(const Vocabulary& vocabulary, int64_t unknown_id) {
  const auto id_of = [&](const std::string& token) {
    const auto found = vocabulary.ids.find(token);
    const int64_t id = found == vocabulary.ids.end() ? unknown_id : found->second;
    if (id > std::numeric_limits<int32_t>::max()) throw BadFile(vocabulary.source, message("token id ", id, " is too large (expected below 2^31)"));
    return int32_t(id);
  };
  for (int byte = 0; byte < 256; ++byte) {
    byte_id_[byte] = id_of(byte_alphabet()[byte]);
    last_byte_id_[byte] = id_of(byte_alphabet()[byte] + "</w>");
  }
  merges_.reserve(vocabulary.merges.size());
  int32_t rank = 0;
  for (const auto& [left, right] : vocabulary.merges) merges_[pair_key(id_of(left), id_of(right))] = {rank++, id_of(left + right)};
}

const Bpe::Merge* Bpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

std::vector<int64_t> Bpe::merged(std::string_view word) const {
  // A doubly linked list of symbols; a joined pair lives on in its left place.
  struct Symbol {
    int32_t id, previous, next;
    bool alive;
  };
  const auto count = int32_t(word.size());
  std::vector<Symbol> symbols(count);
  for (int32_t i = 0; i < count; ++i) {
    const auto byte = static_cast<unsigned char>(word[i]);
    symbols[i] = {i + 1 < count ? byte_id_[byte] : last_byte_id_[byte], i - 1, i + 1 < count ? i + 1 : -1, true};
  }

  // (rank, place, left id, right id): the smallest is joined first. An entry whose pair has changed since is stale.
  using Candidate = std::tuple<int32_t, int32_t, int32_t, int32_t>;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto offer = [&](int32_t left) {
    if (left < 0 || symbols[left].next < 0) return;
    const int32_t a = symbols[left].id, b = symbols[symbols[left].next].id;
    if (const Merge* merge = find_merge(a, b)) candidates.emplace(merge->rank, left, a, b);
  };
  for (int32_t i = 0; i < count; ++i) offer(i);
  while (!candidates.empty()) {
    const auto [rank, place, a, b] = candidates.top();
    candidates.pop();
    Symbol& left = symbols[place];
    if (!left.alive || left.id != a || left.next < 0 || symbols[left.next].id != b) continue;
    Symbol& right = symbols[left.next];
    left.id = find_merge(a, b)->result;
    right.alive = false;
    left.next = right.next;
    if (left.next >= 0) symbols[left.next].previous = place;
    offer(left.previous);
    offer(place);
  }

  std::vector<int64_t> ids;
  for (int32_t i = 0; i >= 0 && i < count; i = symbols[i].next) ids.push_back(symbols[i].id);
  return ids;
}

void Bpe::encode(std::string_view word, std::vector<int64_t>& ids) const {
  if (word.empty()) return;
  if (word.size() > kRememberedBytes) {
    const auto tokens = merged(word);
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    return;
  }
  const std::string key(word);
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = remembered_.find(key); found != remembered_.end()) {
      ids.insert(ids.end(), found->second.begin(), found->second.end());
      return;
    }
  }
  const auto tokens = merged(word);
  ids.insert(ids.end(), tokens.begin(), tokens.end());
  const std::lock_guard lock(mutex_);
  if (remembered_.size() < kRememberedWords) remembered_.emplace(key, tokens);
}

}  // namespace sara
