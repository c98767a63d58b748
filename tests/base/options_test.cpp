// SPDX-License-Identifier: Apache-2.0
#include "sara/base/options.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sara/base/error.h"

namespace sara {
namespace {

struct Sample {
  int64_t steps = 10;
  double rate = 0.5;
  std::string mode = "one";
  std::optional<double> gamma;
  bool loud = false;
  std::vector<std::string> words;
  template <class V>
  void visit(V&& v) {
    v("steps", steps, "help", at_least(1));
    v("rate", rate, "help", Legal{.low = 0, .high = 1, .high_open = true});
    v("mode", mode, "help", one_of({"one", "all"}));
    v("gamma", gamma, "help", above(0));
    v("loud", loud, "help");
    v("words", words, "help");
  }
};

std::string problem_of(Sample sample) {
  try {
    check_options(sample);
  } catch (const InvalidArgument& error) {
    EXPECT_EQ(error.exit_code(), 2);
    return error.what();
  }
  return "";
}

TEST(Legal, IntervalsHoldTheirClosedEndsOnly) {
  EXPECT_TRUE(at_least(1).allows(1.0));
  EXPECT_FALSE(above(1).allows(1.0));
  EXPECT_TRUE(between(0, 1).allows(1.0));
  EXPECT_FALSE((Legal{.high = 1, .high_open = true}.allows(1.0)));
  EXPECT_TRUE(anything().allows(-1e300));
}

TEST(Legal, NaNIsNeverAllowed) {
  for (const auto& legal : {anything(), above(0), between(0, 1)}) EXPECT_FALSE(legal.allows(std::nan("")));
}

TEST(Legal, WordsMustBeAmongTheChoicesWhenThereAreAny) {
  EXPECT_TRUE(one_of({"a", "b"}).allows(std::string("b")));
  EXPECT_FALSE(one_of({"a", "b"}).allows(std::string("B")));
  EXPECT_TRUE(anything().allows(std::string("whatever")));
}

TEST(Legal, SaysItselfInWords) {
  EXPECT_EQ(above(0).text(), "> 0");
  EXPECT_EQ(at_least(2).text(), ">= 2");
  EXPECT_EQ((Legal{.high = 3}.text()), "<= 3");
  EXPECT_EQ((Legal{.low = 0, .high = 1, .high_open = true}.text()), "in [0, 1)");
  EXPECT_EQ(one_of({"a", "b"}).text(), "one of a, b");
  EXPECT_EQ(anything().text(), "any value");
}

TEST(CheckOptions, AcceptsLegalValuesAndUnsetOnes) { EXPECT_EQ(problem_of({}), ""); }

TEST(CheckOptions, TellsAllProblemsTogether) {
  Sample sample;
  sample.steps = 0;
  sample.rate = 1;
  sample.mode = "al\nl";
  sample.gamma = -1;
  EXPECT_EQ(problem_of(sample),
            "steps: out of range (expected >= 1, got 0); rate: out of range (expected in [0, 1), got 1); mode: unknown value "
            "(expected one of one, all, got al\\x0al); gamma: out of range (expected > 0, got -1). Fix: correct the value");
}

TEST(NearestName, FindsSmallSlipsAndNothingFarAway) {
  const std::vector<std::string> known{"threshold", "steps", "batch_size"};
  EXPECT_EQ(nearest_name("treshold", known), "threshold");
  EXPECT_EQ(nearest_name("step", known), "steps");
  EXPECT_EQ(nearest_name("batchsize", known), "batch_size");
  EXPECT_EQ(nearest_name("zebra", known), std::nullopt);
  EXPECT_EQ(nearest_name("steps", {}), std::nullopt);
}

}  // namespace
}  // namespace sara
