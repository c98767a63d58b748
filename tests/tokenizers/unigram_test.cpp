// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/unigram.h"

#include <gtest/gtest.h>

#include <functional>

#include "sara/base/error.h"

namespace sara {
namespace {

UnigramVocabulary letters_and_pairs() {
  UnigramVocabulary vocabulary;
  vocabulary.pieces = {{"<unk>", 0}, {"a", -2}, {"b", -3}, {"ab", -4.5}, {"ba", -6}, {"\u00e9", -1}};
  vocabulary.source = "here";
  return vocabulary;
}

std::vector<int64_t> ids_of(const std::string& word) {
  std::vector<int64_t> ids;
  Unigram(letters_and_pairs()).encode(word, ids);
  return ids;
}

TEST(Unigram, TakesThePiecesWithTheLargestSum) {
  EXPECT_EQ(ids_of("ab"), (std::vector<int64_t>{3}));      // -4.5 against -2 - 3
  EXPECT_EQ(ids_of("ba"), (std::vector<int64_t>{2, 1}));   // -3 - 2 against -6
  EXPECT_EQ(ids_of("aba"), (std::vector<int64_t>{3, 1}));  // -4.5 - 2
  EXPECT_EQ(ids_of(""), (std::vector<int64_t>{}));
}

TEST(Unigram, NeighbouringUnknownCharactersAreOneUnknown) {
  EXPECT_EQ(ids_of("xyz"), (std::vector<int64_t>{0}));
  EXPECT_EQ(ids_of("xa\u4f60\u597d"), (std::vector<int64_t>{0, 1, 0}));
  EXPECT_EQ(ids_of("\u00e9x\u00e9"), (std::vector<int64_t>{5, 0, 5}));
}

TEST(Unigram, AVocabularyThatCannotBeUsedIsRefused) {
  const auto refusal = [](const std::function<void(UnigramVocabulary&)>& change) {
    auto vocabulary = letters_and_pairs();
    change(vocabulary);
    try {
      Unigram unigram(vocabulary);
    } catch (const BadFile& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(refusal([](auto& v) { v.pieces.emplace_back("a", -1.0); }).find("\"a\" is listed twice"), std::string::npos);
  EXPECT_NE(refusal([](auto& v) { v.unknown_id = 6; }).find("no place among 6 pieces"), std::string::npos);
  EXPECT_NE(refusal([](auto& v) { v.pieces.clear(); }).find("no place among 0 pieces"), std::string::npos);
}

TEST(Charsmap, WithoutATableNothingIsReplaced) { EXPECT_EQ(Charsmap().normalized("a\u00e9\u3000b"), "a\u00e9\u3000b"); }

TEST(Charsmap, ATableThatIsCutShortIsRefused) {
  const auto refusal = [](const std::string& bytes) {
    try {
      Charsmap map(bytes, "here");
    } catch (const BadFile& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(refusal("ab").find("cut short"), std::string::npos);
  EXPECT_NE(refusal(std::string("\x08\0\0\0abcd", 8)).find("cut short"), std::string::npos);
  EXPECT_NE(refusal(std::string("\x03\0\0\0abc\0", 8)).find("cut short"), std::string::npos);
  EXPECT_NE(refusal(std::string("\x04\0\0\0abcd", 8)).find("unended text"), std::string::npos);
  EXPECT_EQ(refusal(std::string("\x04\0\0\0abcd\0", 9)), "accepted");
}

TEST(Charsmap, APointerOutOfTheTableEndsTheSearch) {
  // One unit whose offset leads far behind the table.
  const Charsmap map(std::string("\x04\0\0\0\xff\xff\xff\x7f\0", 9), "here");
  EXPECT_EQ(map.normalized("abc"), "abc");
}

TEST(Base64, IsDecodedWithAndWithoutPadding) {
  EXPECT_EQ(base64_decoded("", "here"), "");
  EXPECT_EQ(base64_decoded("TQ==", "here"), "M");
  EXPECT_EQ(base64_decoded("TWE=", "here"), "Ma");
  EXPECT_EQ(base64_decoded("TWFu", "here"), "Man");
  EXPECT_THROW(base64_decoded("TW!u", "here"), BadFile);
}

}  // namespace
}  // namespace sara
