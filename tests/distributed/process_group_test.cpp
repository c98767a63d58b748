// SPDX-License-Identifier: Apache-2.0
#include "sara/distributed/process_group.h"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/distributed/compact_all_reduce.h"
#include "tests/support/ranks.h"

namespace sara {
namespace {

const std::vector<std::string> kNothingThrown3{"", "", ""};

TEST(ProcessGroup, AGroupOfOneSendsNothingAndChangesNothing) {
  ProcessGroup group(Processes(), std::chrono::seconds(1));
  torch::Tensor numbers = torch::arange(3, torch::kFloat);
  group.sum_(numbers, "test");
  EXPECT_TRUE(numbers.equal(torch::arange(3, torch::kFloat)));
  EXPECT_EQ(group.largest(7, "test"), 7);
  EXPECT_EQ(group.shared("text", "test"), "text");
  EXPECT_TRUE(group.is_first());
}

TEST(ProcessGroup, SumsAndTheLargestNumberAreTheSameOnEveryRank) {
  std::vector<torch::Tensor> sums(3);
  const auto thrown = run_ranks(3, [&](ProcessGroup& group) {
    torch::Tensor numbers = torch::tensor({1.0, std::pow(0.1, group.rank())}, torch::kFloat).repeat({1000});
    group.sum_(numbers, "test");
    sums[static_cast<size_t>(group.rank())] = numbers;
    EXPECT_EQ(group.largest(10 - group.rank(), "test"), 10);
  });
  EXPECT_EQ(thrown, kNothingThrown3);
  EXPECT_EQ(sums[0][0].item<float>(), 3.0F);
  EXPECT_FLOAT_EQ(sums[0][1].item<float>(), 1.11F);
  EXPECT_TRUE(sums[1].equal(sums[0]));  // bit for bit
  EXPECT_TRUE(sums[2].equal(sums[0]));
}

TEST(ProcessGroup, WhatRankZeroHasComesToAllInAnyTypeAndShape) {
  const auto thrown = run_ranks(3, [](ProcessGroup& group) {
    const bool first = group.is_first();
    EXPECT_EQ(group.shared(first ? std::string("a\0b", 3) : "other", "test"), std::string("a\0b", 3));
    EXPECT_EQ(group.shared(first ? "" : "other", "test"), "");
    const auto halves = torch::arange(6, torch::kHalf).view({2, 3}), turned = torch::arange(6).view({2, 3}).t();
    EXPECT_TRUE(group.shared(first ? halves : torch::Tensor(), "test").equal(halves));
    EXPECT_TRUE(group.shared(first ? turned : torch::Tensor(), "test").equal(turned));
    EXPECT_FALSE(group.shared(torch::Tensor(), "test").defined());
    EXPECT_EQ(group.shared(first ? torch::zeros({0, 4}) : torch::Tensor(), "test").sizes(), at::IntArrayRef({0, 4}));
  });
  EXPECT_EQ(thrown, kNothingThrown3);
}

TEST(ProcessGroup, ADifferenceNamesTheFirstRankThatHasItOnEveryRank) {
  const auto thrown = run_ranks(3, [](ProcessGroup& group) {
    group.require_same("all", "the mask", "fix");
    group.require_same(group.rank() == 2 ? "mine" : "ours", "the mask", "look");
  });
  for (const auto& text : thrown) EXPECT_EQ(text, "rank 2: the mask differs from rank 0. Fix: look");
}

TEST(ProcessGroup, ARankThatEndsIsAnErrorOfTheOthersAtOnce) {
  const auto start = std::chrono::steady_clock::now();
  const auto thrown = run_ranks(2, [](ProcessGroup& group) {
    if (group.rank() == 1) return;
    torch::Tensor numbers = torch::ones({1000});
    group.sum_(numbers, "step");
  });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_EQ(thrown[1], "");
  EXPECT_EQ(thrown[0].find("processes: rank 0 of 2 lost the others (step): a rank has ended. Fix: "), 0U) << thrown[0];
}

TEST(ProcessGroup, ARankThatNeverComesOrHangsIsGivenUpAfterTheTimeout) {
  EXPECT_THROW(ProcessGroup(rank_of(0, 2, free_port()), std::chrono::seconds(1)), Error);
  const auto thrown = run_ranks(2, [](ProcessGroup& group) {
    if (group.rank() == 1) return std::this_thread::sleep_for(std::chrono::seconds(2));
    group.wait_for_all("step");
  }, /*timeout_seconds=*/1);
  EXPECT_EQ(thrown[0].find("processes: rank 0 of 2 lost the others (step): "), 0U) << thrown[0];
  EXPECT_EQ(thrown[0].find('\n'), std::string::npos);
}

// Both ways a tensor can travel: alone, and packed with others.
TEST(CompactAllReduce, EveryGradientBecomesItsMean) {
  const auto of_rank = [](int64_t rank) {
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(static_cast<uint64_t>(rank));
    return std::vector<torch::Tensor>{torch::randn({kPackedWeights / 64}, generator), torch::randn({3, 4}, generator), torch::randn({8, 6}, generator).t(),
                                      torch::randn({2, 3, 4, 4}, generator).contiguous(torch::MemoryFormat::ChannelsLast),
                                      torch::randn({5}, generator).to(torch::kBFloat16), torch::empty({0})};
  };
  std::vector<std::vector<torch::Tensor>> results(2);
  const auto thrown = run_ranks(2, [&](ProcessGroup& group) {
    auto gradients = of_rank(group.rank());
    compact_all_reduce_(group, gradients);
    results[static_cast<size_t>(group.rank())] = gradients;
  });
  EXPECT_EQ(thrown, std::vector<std::string>(2));
  const auto one = of_rank(0), two = of_rank(1);
  for (size_t i = 0; i < one.size(); ++i) {
    const auto mean = ((one[i].to(torch::kDouble) + two[i].to(torch::kDouble)) / 2).to(one[i].scalar_type());
    EXPECT_TRUE(torch::allclose(results[0][i], mean, 1e-6, 1e-7)) << i;
    EXPECT_TRUE(results[1][i].equal(results[0][i])) << i;
  }
}

TEST(CompactAllReduce, NotANumberOnOneRankIsNotANumberOnAll) {
  run_ranks(2, [](ProcessGroup& group) {
    const auto gradient = torch::full({4}, group.rank() == 1 ? std::nan("") : 1.0);
    compact_all_reduce_(group, {gradient});
    EXPECT_TRUE(gradient.isnan().all().item<bool>());
  });
}

TEST(CompactAllReduce, GradientsOfOtherShapesAreRefusedOnEveryRank) {
  const auto thrown = run_ranks(2, [](ProcessGroup& group) { compact_all_reduce_(group, {torch::ones({3 + group.rank()})}); });
  for (const auto& text : thrown) EXPECT_EQ(text.find("rank 1: the shape of the gradient differs from rank 0. Fix: "), 0U) << text;
}

}  // namespace
}  // namespace sara
