// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/gaps.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>
#include <set>

#include "sara/base/error.h"

namespace sara {
namespace {

TEST(Gaps, WritesTheBytesOfTheFormat) {
  EXPECT_EQ(encode_gaps(torch::tensor({0, 1, 258, 600}, torch::kInt)), (std::vector<uint8_t>{0, 0, 255, 1, 255, 86}));
  EXPECT_EQ(encode_gaps(torch::tensor({255}, torch::kInt)), (std::vector<uint8_t>{255, 0}));
  EXPECT_EQ(encode_gaps(torch::tensor({254}, torch::kInt)), (std::vector<uint8_t>{254}));
  EXPECT_TRUE(encode_gaps(torch::empty({0}, torch::kInt)).empty());
}

RC_GTEST_PROP(Gaps, RoundTripEverySortedSet, (std::set<uint16_t> set, uint8_t stretch)) {
  std::vector<int64_t> numbers;
  for (const uint16_t number : set) numbers.push_back(int64_t{number} * (1 + stretch));
  const int64_t numel = numbers.empty() ? 0 : numbers.back() + 1;
  const torch::Tensor indices = torch::tensor(numbers, torch::kLong);
  const auto bytes = encode_gaps(indices);
  RC_ASSERT(decode_gaps(bytes.data(), bytes.size(), indices.numel(), numel, "x").to(torch::kLong).equal(indices));
  if (!numbers.empty()) RC_ASSERT_THROWS_AS(decode_gaps(bytes.data(), bytes.size(), indices.numel(), numel - 1, "x"), BadFile);
}

TEST(Gaps, UsesWideIndicesOnlyForHugeTensors) {
  const uint8_t byte = 3;
  EXPECT_EQ(decode_gaps(&byte, 1, 1, int64_t{1} << 31, "x").scalar_type(), torch::kInt);
  EXPECT_EQ(decode_gaps(&byte, 1, 1, (int64_t{1} << 31) + 1, "x").scalar_type(), torch::kLong);
}

TEST(Gaps, RefuseHostileBytesWithTheirOffset) {
  const auto offset = [](std::vector<uint8_t> bytes, int64_t count, int64_t numel) -> int64_t {
    try {
      decode_gaps(bytes.data(), bytes.size(), count, numel, "file: key.gaps");
    } catch (const BadFile& error) {
      return static_cast<int64_t>(error.offset().value());
    }
    return -1;
  };
  EXPECT_EQ(offset({0, 255}, 2, 1000), 2);                                      // ends inside a gap
  EXPECT_EQ(offset({0, 0, 0}, 2, 1000), 2);                                     // one index too many
  EXPECT_EQ(offset({0, 255, 3}, 3, 1000), 3);                                   // one too few
  EXPECT_EQ(offset({0, 9}, 2, 10), 1);                                          // index 10 of 10
  EXPECT_EQ(offset({255, 255, 255}, 1, 600), 2);                                // leaves within an open gap
  EXPECT_EQ(offset({0}, std::numeric_limits<int64_t>::max(), 1000), 1);          // allocates nothing
  EXPECT_EQ(offset({0}, -1, 1000), 1);
}

}  // namespace
}  // namespace sara
