// SPDX-License-Identifier: Apache-2.0
#include "sara/data/captions.h"

#include <set>

#include "sara/base/error.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

TEST(Captions, Utf8IsAcceptedUpToTheLastCodePoint) {
  for (const char* text :
       {"", "plain", "caf\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF", "\xEF\xBB\xBFx"})
    EXPECT_FALSE(first_bad_utf8(text)) << text;
}

TEST(Captions, TheFirstByteThatIsNotUtf8IsFound) {
  const std::pair<std::string, size_t> cases[] = {
      {"ab\xFF", 2},       {"\x80", 0},                 // stray bytes
      {"a\xC3", 1},        {"\xE2\x82", 0},             // cut off
      {"\xC3(", 0},        {"x\xC0\xAF", 1},            // no continuation; overlong
      {"\xED\xA0\x80", 0}, {"\xF4\x90\x80\x80", 0},     // surrogate; beyond the last code point
      {"\xE0\x80\x80", 0}, {"ok \xF8\x88\x80\x80", 3},  // overlong; five-byte form
  };
  for (const auto& [text, where] : cases) EXPECT_EQ(first_bad_utf8(text), where) << testing::PrintToString(text);
}

TEST(Captions, TheFirstLineIsTheCaptionWithoutBlanksOrByteOrderMark) {
  Folder folder;
  EXPECT_EQ(read_caption_file(folder.text("a.txt", "\xEF\xBB\xBF  a red apple \r\nsecond line")), "a red apple");
  EXPECT_EQ(read_caption_file(folder.text("b.txt", "\n\n")), "");
  EXPECT_EQ(read_caption_file(folder.text("c.txt", "")), "");
}

TEST(Captions, ACaptionThatIsNotUtf8IsNamedWithItsByte) {
  Folder folder;
  const auto path = folder.text("a.txt", "caf\xE9");
  const auto text = thrown<BadFile>([&] { read_caption_file(path); });
  EXPECT_EQ(text, path + ": byte 3: the caption is not UTF-8. Fix: save the file as UTF-8");
}

TEST(Captions, ACaptionFileIsFoundByAnyOfItsExtensions) {
  Folder folder;
  EXPECT_FALSE(caption_file_of(folder.path("a.png"), ".txt"));
  folder.text("a.txt", "x");
  folder.text("b.caption", "x");
  folder.text("c.tags", "x");
  folder.text("d.e.txt", "x");
  EXPECT_EQ(caption_file_of(folder.path("a.png"), ".txt"), folder.path("a.txt"));
  EXPECT_EQ(caption_file_of(folder.path("b.png"), ".txt"), folder.path("b.caption"));
  EXPECT_EQ(caption_file_of(folder.path("c.png"), ".tags"), folder.path("c.tags"));
  EXPECT_FALSE(caption_file_of(folder.path("c.png"), ".txt"));
  EXPECT_EQ(caption_file_of(folder.path("d.e.png"), ".txt"), folder.path("d.e.txt"));
}

TEST(Captions, TwoCaptionFilesForOneImageAreRefused) {
  Folder folder;
  folder.text("a.txt", "one");
  folder.text("a.caption", "two");
  const auto text = thrown<BadFile>([&] { caption_file_of(folder.path("a.png"), ".txt"); });
  EXPECT_NE(text.find("has two caption files, a.caption and a.txt"), std::string::npos) << text;
}

TEST(Captions, EveryCaptionOfAListIsDrawnAndADrawDependsOnItsKeyAlone) {
  std::set<int64_t> seen;
  for (int64_t epoch = 0; epoch < 50; ++epoch) {
    const int64_t drawn = drawn_caption(3, 7, epoch, 11);
    EXPECT_EQ(drawn, drawn_caption(3, 7, epoch, 11));
    seen.insert(drawn);
  }
  EXPECT_EQ(seen, (std::set<int64_t>{0, 1, 2}));
  EXPECT_EQ(drawn_caption(1, 7, 0, 0), 0);
}

}  // namespace
}  // namespace sara
