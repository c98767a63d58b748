// SPDX-License-Identifier: Apache-2.0
#include "sara/train/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/data/folder.h"

namespace sara {
namespace {

// Whether every element is closed in order, every attribute quoted and every < and & spoken for: well-formed XML as far
// as these pictures use it.
bool well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (size_t i = 0; i < xml.size(); ++i) {
    if (xml[i] == '&') {
      const auto end = xml.find(';', i);
      if (end == std::string::npos || end - i > 6) return false;
    }
    if (xml[i] == '>') return false;
    if (xml[i] != '<') continue;
    const auto end = xml.find('>', i);
    if (end == std::string::npos) return false;
    auto tag = xml.substr(i + 1, end - i - 1);
    i = end;
    if (tag.find('<') != std::string::npos || std::count(tag.begin(), tag.end(), '"') % 2) return false;
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  return open.empty();
}

size_t points(const std::string& svg) {
  const auto begin = svg.find("points=\"") + 8;
  const auto list = svg.substr(begin, svg.find('"', begin) - begin);
  return std::count(list.begin(), list.end(), ',');
}

TEST(LossChart, IsWellFormedWhateverTheLosses) {
  EXPECT_FALSE(well_formed("<a><b></a>"));
  for (const auto& losses : std::vector<std::vector<double>>{{}, {1}, {2, 2, 2}, {1, std::nan(""), 0.5}, {std::nan("")}, {1e-9, 1e30}}) {
    const auto svg = loss_chart(losses);
    EXPECT_TRUE(well_formed(svg)) << svg;
    EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
    EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
  }
}

TEST(LossChart, DrawsOnePointAStepAndThinsLongRuns) {
  EXPECT_EQ(points(loss_chart({3, 2, 1})), 3u);
  const auto many = points(loss_chart(std::vector<double>(100000, 1.0)));
  EXPECT_GT(many, 300u);
  EXPECT_LE(many, 700u);
}

TEST(ReportPage, EscapesEveryText) {
  const Folder folder;
  const auto page = report_page(folder.path(), {{"na<me", "a & \"b\""}, {"steps", 3}}, "x = \"<script>\"", {1, 2}, {"<img src=x>"});
  for (const char* shown : {"na&lt;me", "a &amp; &quot;b&quot;", "&lt;script&gt;", "&lt;img src=x&gt;", "<td>3</td>"}) {
    EXPECT_NE(page.find(shown), std::string::npos) << shown;
  }
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("<img"), std::string::npos);  // no picture was drawn
}

TEST(ReportPage, HoldsItsPicturesAndAsksForNothingElse) {
  const Folder folder;
  folder.text("samples/before/0.png", "Man");
  folder.text("samples/after/0.png", "Ma");
  const auto page = report_page(folder.path(), {}, "", {1, 2}, {"a cat"});
  EXPECT_NE(page.find("<img alt=\"before\" src=\"data:image/png;base64,TWFu\">"), std::string::npos);
  EXPECT_NE(page.find("<img alt=\"after\" src=\"data:image/png;base64,TWE=\">"), std::string::npos);
  auto rest = page;
  const std::string name = "http://www.w3.org/2000/svg";  // a name, not an address that is fetched
  rest.erase(rest.find(name), name.size());
  for (const char* outside : {"http://", "https://", "<script", "<link", "@import", "url("}) EXPECT_EQ(rest.find(outside), std::string::npos) << outside;
}

}  // namespace
}  // namespace sara
