// SPDX-License-Identifier: Apache-2.0
#include "sara/base/hash.h"

#include <gtest/gtest.h>

#include <utility>

namespace sara {
namespace {

std::string pieces(const std::string& text, size_t size) {
  Hasher hasher;
  for (size_t i = 0; i < text.size(); i += size) hasher.update(text.substr(i, size));
  return hasher.hex();
}

TEST(Hash, OfNothingIsThePublishedValue) {
  EXPECT_EQ(hash64(""), 0x2d06800538d394c2ULL);
  EXPECT_EQ(Hasher().hex(), "99aa06d3014798d86001c324468d497f");
}

TEST(Hash, DependsOnContentAndSeed) {
  EXPECT_NE(hash64("a"), hash64("b"));
  EXPECT_NE(hash64("a", 0), hash64("a", 1));
  EXPECT_EQ(hash64("a", 5), hash64("a", 5));
}

TEST(Hasher, GivesOneValueWhateverThePieces) {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += static_cast<char>(i * 31 >> 3);
  const auto whole = pieces(text, text.size());
  for (size_t size : {1, 7, 256, 1024}) EXPECT_EQ(pieces(text, size), whole) << size;
  EXPECT_NE(pieces(text + "x", 100), whole);
}

TEST(Hasher, KeepsItsStateWhenMovedAndAfterBeingAsked) {
  Hasher first;
  first.update("ab");
  EXPECT_EQ(first.hex(), pieces("ab", 2));
  Hasher second = std::move(first);
  second.update("c");
  EXPECT_EQ(second.hex(), pieces("abc", 3));
}

}  // namespace
}  // namespace sara
