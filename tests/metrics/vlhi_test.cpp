// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/vlhi.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"

namespace sara {
namespace {

VlhiGroup group_of(const char* text) { return vlhi_group(parse_json(text, "test"), "test"); }

std::string refusal(const char* text) {
  try {
    vlhi(group_of(text));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Vlhi, OnPaperOneMethodOfEachKind) {
  const auto group = group_of(R"({"group": "g", "methods": [{"name": "style", "fid": 100, "clip": 20}, {"name": "text", "fid": 200, "clip": 30},
                                  {"name": "both", "fid": 150, "clip": 27.5}]})");
  const auto result = vlhi(group);
  EXPECT_DOUBLE_EQ(result.values[0], 1);  // best FID, worst CLIP
  EXPECT_DOUBLE_EQ(result.values[1], 1);
  EXPECT_DOUBLE_EQ(result.values[2], 0.5 + 0.75);
  EXPECT_EQ(result.ranges[0].lowest, 100);
  EXPECT_EQ(result.ranges[0].highest_method, "text");
  EXPECT_EQ(result.ranges[1].lowest_method, "style");
}

TEST(Vlhi, TwoScoresThatAreBetterWhenHighAddUp) {
  const auto result = vlhi(group_of(R"({"group": "g", "methods": [{"name": "a", "clip_i": 0.9, "clip_t": 25}, {"name": "b", "clip_i": 0.7, "clip_t": 20}]})"));
  EXPECT_EQ(result.values, (std::vector<double>{2, 0}));
}

TEST(Vlhi, AnotherMethodInTheGroupChangesTheOthers) {
  const auto two = vlhi(group_of(R"({"group": "g", "methods": [{"name": "a", "fid": 1, "clip": 3}, {"name": "b", "fid": 2, "clip": 4}]})"));
  const auto three = vlhi(group_of(R"({"group": "g", "methods": [{"name": "a", "fid": 1, "clip": 3}, {"name": "b", "fid": 2, "clip": 4}, {"name": "c", "fid": 5, "clip": 5}]})"));
  EXPECT_NE(two.values[1], three.values[1]);
}

TEST(Vlhi, GroupsWithoutASpreadOrWithMixedScoresAreRefused) {
  EXPECT_NE(refusal(R"({"group": "g", "methods": [{"name": "a", "fid": 1, "clip": 3}]})").find("two or more"), std::string::npos);
  EXPECT_NE(refusal(R"({"group": "g", "methods": [{"name": "a", "fid": 1, "clip": 3}, {"name": "b", "fid": 1, "clip": 4}]})").find("fid is 1 for every method"), std::string::npos);
  EXPECT_NE(refusal(R"({"group": "g", "methods": [{"name": "a", "fid": 1, "clip": 3}, {"name": "b", "fid": 1, "clip_t": 4}]})").find("the same two"), std::string::npos);
  EXPECT_NE(refusal(R"({"group": "g", "methods": [{"name": "a", "fid": 1, "clip": 3}, {"name": "a", "fid": 2, "clip": 4}]})").find("there twice"), std::string::npos);
  EXPECT_NE(refusal(R"({"group": "g", "methods": [{"name": "a", "fid": 1}, {"name": "b", "fid": 2}]})").find("1 scores (expected two"), std::string::npos);
  EXPECT_NE(refusal(R"({"group": "g", "methods": [{"name": "a", "fid": 1, "clip": 3}, {"name": "b", "fid": "2", "clip": 4}]})").find("not a finite number"), std::string::npos);
  EXPECT_NE(refusal(R"({"methods": [{"name": "a", "fid": 1, "clip": 3}]})").find("group is missing"), std::string::npos);
  EXPECT_NE(refusal(R"({"group": "g", "method": []})").find("unknown key method"), std::string::npos);
  EXPECT_NE(refusal(R"({"group": "g", "methods": [{"name": "a", "fid": 1, "clip": 3, "clpi": 3}, {"name": "b", "fid": 2, "clip": 4}]})").find("unknown key clpi"), std::string::npos);
}

}  // namespace
}  // namespace sara
