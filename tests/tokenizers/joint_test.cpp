// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/joint.h"

#include <gtest/gtest.h>

namespace sara {
namespace {

// The letters' codes, padded with 0 to a length.
struct Letters : Tokenizer {
  explicit Letters(int64_t most) : most(most) {}
  Encoding encode(std::string_view text) const override {
    Encoding out;
    for (const char c : text.substr(0, size_t(most))) out.ids.push_back(c);
    out.ids.resize(size_t(most));
    out.length = int64_t(text.size());
    out.truncated = out.length > most;
    return out;
  }
  int64_t max_length() const override { return most; }
  int64_t most;
};

TEST(JointTokenizer, SetsTheIdsOfItsPartsOneAfterTheOther) {
  const JointTokenizer joint({std::make_shared<Letters>(2), std::make_shared<Letters>(4)});
  EXPECT_EQ(joint.lengths(), (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(joint.max_length(), 6);
  const auto both = joint.encode("ab");
  EXPECT_EQ(both.ids, (std::vector<int64_t>{'a', 'b', 'a', 'b', 0, 0}));
  EXPECT_FALSE(both.truncated);
  const auto cut = joint.encode("abc");
  EXPECT_EQ(cut.ids, (std::vector<int64_t>{'a', 'b', 'a', 'b', 'c', 0}));
  EXPECT_EQ(cut.length, 3);
  EXPECT_TRUE(cut.truncated);
}

}  // namespace
}  // namespace sara
