// SPDX-License-Identifier: Apache-2.0
#include "sara/files/json.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <limits>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"

namespace sara {
namespace {

// The reason and offset of the refusal, "" when the text is taken.
std::pair<std::string, std::optional<uint64_t>> json_refusal(std::string_view text) {
  try {
    parse_json(text, "x.json");
  } catch (const BadFile& error) {
    return {error.reason(), error.offset()};
  }
  return {};
}

TEST(JsonText, KeepsOrderAndTheKindOfEachNumber) {
  const Json value = parse_json(R"( {"b":[1,-2,0.5,18446744073709551615],"a":{"t":true,"n":null,"s":"\u00e9\ud83d\ude00"}} )", "x.json");
  EXPECT_EQ(value.begin().key(), "b");
  EXPECT_TRUE(value["b"][0].is_number_unsigned());
  EXPECT_TRUE(value["b"][1].is_number_integer());
  EXPECT_TRUE(value["b"][2].is_number_float());
  EXPECT_EQ(value["b"][3].get<uint64_t>(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(value["a"]["s"].get<std::string>(), "\xC3\xA9\xF0\x9F\x98\x80");
  EXPECT_EQ(parse_json("7", "x").get<int>(), 7);
  EXPECT_TRUE(parse_json("[]", "x").is_array());
}

TEST(JsonText, AKeyGivenTwiceIsRefusedAtAnyDepthAndAfterUnescaping) {
  EXPECT_EQ(json_refusal(R"({"a":1,"a":2})").first, "JSON key \"a\" appears twice in one object");
  EXPECT_EQ(json_refusal(R"({"a":1,"a":2})").second, 10u);
  EXPECT_EQ(json_refusal(R"([{"x":{"a":1,"\u0061":2}}])").first, "JSON key \"a\" appears twice in one object");
  EXPECT_EQ(json_refusal(R"({"a":{"a":[{"a":1},{"a":2}]}})").first, "");
}

TEST(JsonText, NulAndByteOrderMarkAreRefused) {
  EXPECT_EQ(json_refusal(std::string_view("{}\0", 3)).first, "not valid JSON: it holds a NUL byte");
  EXPECT_EQ(json_refusal(std::string_view("{}\0", 3)).second, 2u);
  EXPECT_EQ(json_refusal("\xEF\xBB\xBF{}").first, "not valid JSON: it begins with a byte order mark");
}

TEST(JsonText, BrokenTextIsRefusedWithAMessageFitToPrint) {
  for (const char* text : {"", " ", "{", "[1,]", "{\"a\"}", "{} {}", "nul", "01", "+1", ".5", "\"\x01\"", "\"\xff\"", "\"\\ud800\"",
                           "[1e999]", "// c\n1", "{\"a\":1,}", "NaN", "'a'"})
    EXPECT_NE(json_refusal(text).first, "") << text;
  const std::string reason = json_refusal("[\"a\nb\"]").first;
  for (const char c : reason) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  EXPECT_NE(json_refusal("[\"\xff\"]").first.find("\\xff"), std::string::npos);  // and the message itself is UTF-8
}

TEST(JsonText, ContainersNestTo127) {
  EXPECT_EQ(json_refusal(std::string(127, '[') + std::string(127, ']')).first, "");
  EXPECT_EQ(json_refusal(std::string(128, '[') + std::string(128, ']')).first, "JSON nests more than 127 containers deep");
  EXPECT_NE(json_refusal(std::string(5'000'000, '[')).first, "");  // and nothing recurses
}

TEST(JsonText, AnObjectOf100000KeysParsesInLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i) text += message(i ? "," : "", "\"key", i, "\":", i);
  text += "}";
  const auto start = std::chrono::steady_clock::now();
  const Json value = parse_json(text, "vocab.json");
  EXPECT_EQ(value.size(), 100'000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));  // the quadratic way takes minutes
}

TEST(JsonFile, WritesWhatItReads) {
  const std::string path = testing::TempDir() + "sara_json_test.json";
  const Json value = parse_json(R"({"z":1,"a":[0.1,"x"]})", "x");
  write_json(path, value);
  EXPECT_EQ(read_file(path), "{\n  \"z\": 1,\n  \"a\": [\n    0.1,\n    \"x\"\n  ]\n}\n");
  EXPECT_EQ(read_json(path), value);
  EXPECT_THROW(write_json(path, Json{{"x", std::numeric_limits<double>::quiet_NaN()}}), InvalidArgument);
  EXPECT_THROW(write_json(path, Json{{"x", "\xff"}}), InvalidArgument);
  EXPECT_EQ(read_json(path), value);  // the failures left it alone
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sara
