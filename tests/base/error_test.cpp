// SPDX-License-Identifier: Apache-2.0
#include "sara/base/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace sara {
namespace {

TEST(Error, EachKindHasItsExitCode) {
  EXPECT_EQ(InvalidArgument("x").exit_code(), 2);
  EXPECT_EQ(BadFile("f", "x").exit_code(), 3);
  EXPECT_EQ(IoError("f", "x", EIO).exit_code(), 4);
  EXPECT_EQ(NonFinite("x").exit_code(), 5);
  EXPECT_EQ(OutOfMemory("x").exit_code(), 6);
  EXPECT_EQ(InternalError("x").exit_code(), 70);
}

TEST(BadFile, NamesTheFileTheByteAndTheReason) {
  const BadFile error("a/b\n.json", "unexpected end", 12);
  EXPECT_STREQ(error.what(), "a/b\\x0a.json: byte 12: unexpected end");
  EXPECT_EQ(error.path(), "a/b\n.json");
  EXPECT_EQ(error.reason(), "unexpected end");
  EXPECT_EQ(error.offset(), 12u);
  EXPECT_STREQ(BadFile("f", "empty").what(), "f: empty");
}

TEST(IoError, GivesTheSystemsReasonBeforeTheAdvice) {
  EXPECT_STREQ(IoError("f", "cannot open", ENOENT).what(), "f: cannot open: No such file or directory");
  const IoError error("f", "not empty. Fix: choose another", EEXIST);
  EXPECT_STREQ(error.what(), "f: not empty: File exists. Fix: choose another");
  EXPECT_EQ(error.code(), EEXIST);
  EXPECT_EQ(error.path(), "f");
}

TEST(Check, PassesWhatHoldsAndNamesWhatDoesNot) {
  EXPECT_NO_THROW(SARA_CHECK(1 + 1 == 2));
  try {
    const int got = 3;
    SARA_CHECK(got == 2, "got ", got);
    ADD_FAILURE();
  } catch (const InternalError& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("error_test.cpp:"), std::string::npos);
    EXPECT_NE(text.find("got == 2 fails. got 3"), std::string::npos);
  }
}

}  // namespace
}  // namespace sara
