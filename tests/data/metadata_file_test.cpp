// SPDX-License-Identifier: Apache-2.0
#include "sara/data/metadata_file.h"

#include "sara/base/error.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

using Captions = std::vector<std::string>;

TEST(MetadataFile, JsonLinesGiveFileCaptionsAndLine) {
  Folder folder;
  const auto path = folder.text("m.jsonl",
                                "\xEF\xBB\xBF{\"file_name\": \"a.png\", \"text\": \" one \", \"other\": 3}\r\n\n"
                                "{\"file_name\": \"sub/b.png\", \"text\": [\"two\", \"three\"]}\n"
                                "{\"file_name\": \"c.png\", \"text\": null}\n{\"file_name\": \"d.png\"}");
  const auto rows = read_metadata_jsonl(path, {});
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].file_name, "a.png");
  EXPECT_EQ(rows[0].captions, Captions{"one"});
  EXPECT_EQ(rows[0].line, 1);
  EXPECT_EQ(rows[1].captions, (Captions{"two", "three"}));
  EXPECT_EQ(rows[1].line, 3);
  EXPECT_TRUE(rows[2].captions.empty());
  EXPECT_TRUE(rows[3].captions.empty());
}

TEST(MetadataFile, OtherColumnsCanBeNamed) {
  Folder folder;
  const auto jsonl = folder.text("m.jsonl", R"({"path": "a.png", "label": "x"})");
  EXPECT_EQ(read_metadata_jsonl(jsonl, {"path", "label"})[0].captions, Captions{"x"});
  const auto csv = folder.text("m.csv", "label,path\nx,a.png\n");
  EXPECT_EQ(read_metadata_csv(csv, {"path", "label"})[0].file_name, "a.png");
}

TEST(MetadataFile, AMissingFileColumnIsNamedWithTheNearest) {
  Folder folder;
  const auto path = folder.text("m.jsonl", R"({"filename": "a.png", "text": "x"})");
  const auto text = thrown<BadFile>([&] { read_metadata_jsonl(path, {}); });
  EXPECT_NE(text.find("line 1 has no column \"file_name\" (\"filename\" is the nearest); it has filename, text"),
            std::string::npos)
      << text;
  const auto csv = folder.text("m.csv", "filename,text\na.png,x\n");
  EXPECT_NE(thrown<BadFile>([&] { read_metadata_csv(csv, {}); }).find("\"filename\" is the nearest"),
            std::string::npos);
}

TEST(MetadataFile, BrokenLinesAreNamed) {
  Folder folder;
  const auto message_of = [&](const std::string& content) {
    const auto path = folder.text("m.jsonl", content);
    return thrown<BadFile>([&] { read_metadata_jsonl(path, {}); });
  };
  const std::string good = "{\"file_name\": \"a.png\", \"text\": \"x\"}\n";
  EXPECT_NE(message_of(good + "{\"file_name\": \n").find("m.jsonl line 2"), std::string::npos);
  EXPECT_NE(message_of(good + "[1]\n").find("line 2 is no JSON object"), std::string::npos);
  EXPECT_NE(message_of("{\"file_name\": \"a\", \"text\": 5}").find("\"text\" is number (expected a string or a list"),
            std::string::npos);
  EXPECT_NE(message_of("{\"file_name\": \"a\", \"text\": [\"x\", {}]}").find("\"text\" is object"), std::string::npos);
  EXPECT_NE(message_of("{\"file_name\": \"a\xFF\"}").find("byte 16: is not UTF-8"), std::string::npos);
}

TEST(MetadataFile, CsvQuotesCommasDoubledQuotesAndLineBreaks) {
  Folder folder;
  const auto path = folder.text(
      "m.csv",
      "file_name,text\r\na.png,plain\r\nb.png,\"one, \"\"two\"\"\"\r\n\r\nc.png,\"first\nsecond\"\r\nd.png,\r\n"
      "\"e.png\",last");
  const auto rows = read_metadata_csv(path, {});
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0].captions, Captions{"plain"});
  EXPECT_EQ(rows[1].captions, Captions{"one, \"two\""});
  EXPECT_EQ(rows[2].captions, Captions{"first\nsecond"});
  EXPECT_EQ(rows[2].line, 5);
  EXPECT_EQ(rows[3].captions, Captions{""});
  EXPECT_EQ(rows[3].line, 7);
  EXPECT_EQ(rows[4].file_name, "e.png");
  EXPECT_EQ(rows[4].captions, Captions{"last"});
}

TEST(MetadataFile, CsvWithoutACaptionColumnHasNoCaptions) {
  Folder folder;
  EXPECT_TRUE(read_metadata_csv(folder.text("m.csv", "file_name\na.png\n"), {})[0].captions.empty());
}

TEST(MetadataFile, BrokenCsvIsNamed) {
  Folder folder;
  const auto message_of = [&](const std::string& content) {
    const auto path = folder.text("m.csv", content);
    return thrown<BadFile>([&] { read_metadata_csv(path, {}); });
  };
  EXPECT_NE(message_of("file_name,text\na.png,one, two\n").find("line 2 has 3 fields (expected 2"), std::string::npos);
  EXPECT_NE(
      message_of("file_name,text\na.png,\"open\n").find("the quote opened in the record of line 2 is never closed"),
      std::string::npos);
  EXPECT_NE(message_of("file_name,text\na.png,\"x\" y\n").find("text behind a closing quote"), std::string::npos);
}

}  // namespace
}  // namespace sara
