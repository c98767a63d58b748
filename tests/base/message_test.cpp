// SPDX-License-Identifier: Apache-2.0
#include "sara/base/message.h"

#include <gtest/gtest.h>

#include <vector>

namespace sara {
namespace {

TEST(Message, JoinsPartsOfAnyKind) {
  EXPECT_EQ(message("expected ", 3, ", got ", 4.5, std::string("!")), "expected 3, got 4.5!");
}

TEST(Escaped, ShowsControlCharactersAndKeepsTheRest) {
  EXPECT_EQ(escaped(std::string("a\n\x1b[31m\x7f\0z", 10)), "a\\x0a\\x1b[31m\\x7f\\x00z");
  EXPECT_EQ(escaped("plain é 漢"), "plain é 漢");
}

TEST(FirstFive, ShowsFiveItemsAndTheTotal) {
  EXPECT_EQ(first_five(std::vector<int>{}), "");
  EXPECT_EQ(first_five(std::vector<int>{1, 2, 3, 4, 5}), "1, 2, 3, 4, 5");
  EXPECT_EQ(first_five(std::vector<int>{1, 2, 3, 4, 5, 6, 7}), "1, 2, 3, 4, 5, and 2 more (7 in all)");
  EXPECT_EQ(first_five(std::vector<int>{1, 2}, "; "), "1; 2");
}

}  // namespace
}  // namespace sara
