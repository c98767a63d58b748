// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/bpe.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

namespace sara {
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;

Vocabulary vocabulary_with(const Merges& merges) {
  Vocabulary vocabulary{{}, merges, "test"};
  const auto add = [&](const std::string& token) { vocabulary.ids.emplace(token, int64_t(vocabulary.ids.size())); };
  for (const char* end : {"", "</w>"})
    for (const std::string& letter : byte_alphabet()) add(letter + end);
  for (const auto& [left, right] : merges) add(left + right);
  return vocabulary;
}

std::vector<std::string> tokens(const Vocabulary& vocabulary, const Bpe& bpe, std::string_view word) {
  std::vector<int64_t> ids;
  bpe.encode(word, ids);
  std::vector<std::string> texts;
  for (const int64_t id : ids)
    for (const auto& [token, known] : vocabulary.ids)
      if (known == id) texts.push_back(token);
  return texts;
}

// The definition, word by word: join the first-listed pair, leftmost, until none is left.
std::vector<std::string> by_definition(const Merges& merges, const std::string& word) {
  std::vector<std::string> parts;
  for (const char letter : word) parts.emplace_back(1, letter);
  parts.back() += "</w>";
  while (true) {
    size_t best_rank = merges.size(), best_place = 0;
    for (size_t place = 0; place + 1 < parts.size(); ++place)
      for (size_t rank = 0; rank < best_rank; ++rank)
        if (merges[rank] == std::pair(parts[place], parts[place + 1])) best_rank = rank, best_place = place;
    if (best_rank == merges.size()) return parts;
    parts[best_place] += parts[best_place + 1];
    parts.erase(parts.begin() + long(best_place) + 1);
  }
}

using Tokens = std::vector<std::string>;

TEST(Bpe, JoinsTheFirstListedPairAndOfEqualsTheLeftmost) {
  const auto vocabulary = vocabulary_with({{"a", "a"}, {"a", "a</w>"}, {"l", "o"}, {"lo", "w</w>"}, {"o", "w</w>"}});
  const Bpe bpe(vocabulary, 0);
  EXPECT_EQ(tokens(vocabulary, bpe, "low"), Tokens{"low</w>"});
  EXPECT_EQ(tokens(vocabulary, bpe, "ow"), Tokens{"ow</w>"});
  EXPECT_EQ(tokens(vocabulary, bpe, "lows"), (Tokens{"lo", "w", "s</w>"}));
  EXPECT_EQ(tokens(vocabulary, bpe, "aaa"), (Tokens{"aa", "a</w>"}));
  EXPECT_EQ(tokens(vocabulary, bpe, "aaaa"), (Tokens{"aa", "aa</w>"}));
  EXPECT_EQ(tokens(vocabulary, bpe, "a"), Tokens{"a</w>"});
  EXPECT_EQ(tokens(vocabulary, bpe, ""), Tokens{});
}

TEST(Bpe, EveryByteHasALetterOfItsOwn) {
  const std::set<std::string> letters(byte_alphabet().begin(), byte_alphabet().end());
  EXPECT_EQ(letters.size(), 256u);
  EXPECT_EQ(byte_alphabet()['a'], "a");
  EXPECT_EQ(byte_alphabet()[' '], "\u0120");
  EXPECT_EQ(byte_alphabet()[0], "\u0100");
  EXPECT_EQ(byte_alphabet()[0xad], "\u0143");
  EXPECT_EQ(byte_alphabet()[0xff], "\u00ff");
  const auto vocabulary = vocabulary_with({{"\u00c3", "\u00a9</w>"}});
  EXPECT_EQ(tokens(vocabulary, Bpe(vocabulary, 0), "\u00e9"), Tokens{"\u00c3\u00a9</w>"});
}

TEST(Bpe, AByteWithoutATokenBecomesTheUnknownToken) {
  auto vocabulary = vocabulary_with({});
  const int64_t unknown = vocabulary.ids.at("?");
  vocabulary.ids.erase("x");
  std::vector<int64_t> ids;
  Bpe(vocabulary, unknown).encode("xax", ids);
  EXPECT_EQ(ids, (std::vector<int64_t>{unknown, vocabulary.ids.at("a"), vocabulary.ids.at("x</w>")}));
}

TEST(Bpe, AgreesWithTheDefinitionOnRandomMerges) {
  EXPECT_TRUE(rc::check("heap against definition", [] {
    std::vector<std::string> known = {"a", "b", "c", "a</w>", "b</w>", "c</w>"};
    Merges merges;
    for (int i = *rc::gen::inRange(0, 25); i > 0; --i) {
      const std::string left = *rc::gen::elementOf(known), right = *rc::gen::elementOf(known);
      const bool taken = std::ranges::find(known, left + right) != known.end();
      if (left.ends_with("</w>") || left.size() + right.size() > 16 || taken) continue;
      merges.emplace_back(left, right);
      known.push_back(left + right);
    }
    const auto vocabulary = vocabulary_with(merges);
    const Bpe bpe(vocabulary, 0);
    const auto word = *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::element('a', 'b', 'c')));
    const auto expected = by_definition(merges, word);
    RC_ASSERT(tokens(vocabulary, bpe, word) == expected);
    RC_ASSERT(tokens(vocabulary, bpe, word) == expected);  // the remembered answer as well
  }));
}

TEST(Bpe, AVeryLongWordTakesLittleMoreThanLinearTime) {
  Merges merges;
  for (std::string a = "a"; a.size() < 4096; a += a) merges.emplace_back(a, a);
  const auto vocabulary = vocabulary_with(merges);
  const Bpe bpe(vocabulary, 0);
  const auto start = std::chrono::steady_clock::now();
  std::vector<int64_t> ids;
  bpe.encode(std::string(1 << 20, 'a'), ids);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_EQ(ids.size(), 255u + 13u);  // the last letter is a</w>; the 4095 before it are 2048 + 1024 + ... + 1
}

TEST(Bpe, SeveralThreadsGetTheSameAnswers) {
  const auto vocabulary = vocabulary_with({{"a", "b"}, {"ab", "c</w>"}});
  const Bpe bpe(vocabulary, 0);
  std::vector<std::vector<int64_t>> ids(4);
  std::vector<std::thread> threads;
  for (auto& mine : ids)
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) bpe.encode("abc" + std::string(size_t(i % 7), 'b'), mine);
    });
  for (auto& thread : threads) thread.join();
  for (const auto& mine : ids) EXPECT_EQ(mine, ids[0]);
}

}  // namespace
}  // namespace sara
