// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/clip_words.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "sara/base/error.h"

namespace sara {
namespace {

using Words = std::vector<std::string_view>;

TEST(ClipWords, TextIsComposedAndLowered) {
  EXPECT_EQ(clip_normalized("A Cat"), "a cat");
  EXPECT_EQ(clip_normalized("E\u0301"), "\u00e9");
  EXPECT_EQ(clip_normalized("\u0130"), "i\u0307");  // Turkish dotted I becomes two characters
  EXPECT_EQ(clip_normalized("\u03a3"), "\u03c3");   // no final sigma
  EXPECT_EQ(clip_normalized(""), "");
}

TEST(ClipWords, RunsOfAnyWhiteSpaceBecomeOneSpace) {
  EXPECT_EQ(clip_normalized(" a \t\r\n\u00a0\u2003\u3000b\u0085"), " a b ");
  EXPECT_EQ(clip_normalized("a\u180e\u200bb"), "a\u180e\u200bb");  // no white space, whatever they look like
}

TEST(ClipWords, LettersDigitsContractionsAndSignsPart) {
  EXPECT_EQ(clip_words("it's 12 o'clock!?"), (Words{"it", "'s", "1", "2", "o", "'", "clock", "!?"}));
  EXPECT_EQ(clip_words("we'll've"), (Words{"we", "'ll", "'ve"}));
  EXPECT_EQ(clip_words("''s"), (Words{"''", "s"}));
  EXPECT_EQ(clip_words("'\u017f"), (Words{"'", "\u017f"}));  // a long s is no 's
  EXPECT_EQ(clip_words("e\u0302x\u0303"), (Words{"e", "\u0302", "x", "\u0303"}));
  EXPECT_EQ(clip_words("  "), Words{});
  EXPECT_EQ(clip_words(std::string_view("a\0b", 3)), (Words{"a", std::string_view("\0", 1), "b"}));
}

TEST(ClipWords, ASpecialTokenWrittenInTheTextKeepsApartFromItsNeighbours) {
  EXPECT_EQ(clip_words("<|endoftext|>!"), (Words{"<|", "endoftext", "|>", "!"}));
  EXPECT_EQ(clip_words("!<|endoftext|>"), (Words{"!<|", "endoftext", "|>"}));
}

TEST(ClipWords, BrokenUtf8IsRefusedWithItsPlace) {
  const auto refusal = [](std::string_view text) -> std::string {
    try {
      check_utf8(text);
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(refusal("ab\xff"), "text is not UTF-8 at byte 2 (0xff). Fix: save it as UTF-8");
  EXPECT_NE(refusal("\xc3"), "");              // cut short
  EXPECT_NE(refusal("\xc0\xaf"), "");          // longer than needed
  EXPECT_NE(refusal("\xed\xa0\x80"), "");      // half of a surrogate pair
  EXPECT_NE(refusal("\xf4\x90\x80\x80"), "");  // beyond U+10FFFF
  EXPECT_EQ(refusal("\u00e9\U0001f600\uffff"), "");
}

TEST(ClipWords, NoTextIsLostButSpaces) {
  EXPECT_TRUE(rc::check("words joined are the text without spaces", [](const std::string& ascii) {
    std::string text, kept;
    for (const char c : ascii) text += char(c & 0x7f);
    const std::string normalized = clip_normalized(text);
    for (const char c : normalized)
      if (c != ' ') kept += c;
    std::string joined;
    for (const auto word : clip_words(normalized)) joined += word;
    RC_ASSERT(joined == kept);
  }));
}

}  // namespace
}  // namespace sara
