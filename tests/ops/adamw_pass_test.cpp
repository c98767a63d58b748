// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/adamw_pass.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include "sara/sparse/selection.h"

namespace sara {
namespace {

// A matrix, a transposed one, a channels_last convolution, a bias and a large tensor of several pieces, in two groups.
struct Model {
  explicit Model(at::ScalarType dtype, bool wide_indices = false) {
    torch::manual_seed(2);
    const auto random = [&](at::IntArrayRef shape) { return (0.1 * torch::randn(shape)).to(dtype); };
    tensors = {{"a", random({40, 30})}, {"transposed", random({30, 50}).t()}, {"conv", random({8, 6, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast)},
               {"bias", random({17})},  {"large", random({300, 400})}};
    mask = select(tensors, {.threshold = 0.05}).mask;
    for (size_t i = 0; i < mask.size(); ++i) {
      mask[i].group = i < 2 ? 0 : 1;
      if (wide_indices) mask[i].indices = mask[i].indices.to(torch::kLong);
    }
  }
  NamedTensors tensors;
  Mask mask;
};

std::vector<PassSlot> every_slot(const Values& values) {
  std::vector<PassSlot> slots;
  for (size_t i = 0; i < values.slots().size(); ++i) slots.push_back({i});
  return slots;
}

const std::vector<AdamWStep> kGroups{{.lr = 1e-2, .weight_decay = 0.1, .step = 1, .gradient_scale = 0.5}, {.lr = 3e-3, .beta1 = 0.5, .step = 1}};

void put_gradient(const Values& values, int64_t step) {
  torch::manual_seed(10 + step);
  values.gradient().copy_(torch::randn_like(values.gradient()));
}

struct PassIn : testing::TestWithParam<std::tuple<at::ScalarType, bool, bool>> {};

TEST_P(PassIn, EqualsTheFlatStepAndAScatterBitForBitAtEveryThreadCount) {
  const torch::NoGradGuard no_grad;
  const auto [dtype, to_base, wide] = GetParam();
  for (const int threads : {1, 2, 5}) {
    at::set_num_threads(threads);
    Model one(dtype, wide), two(dtype, wide);
    const Values ours(one.mask, 2), flat(two.mask, 2);
    for (int64_t step = 1; step <= 3; ++step) {
      auto groups = kGroups;
      for (auto& group : groups) group.step = step;
      put_gradient(ours, step);
      put_gradient(flat, step);
      adamw_pass_(ours, every_slot(ours), groups, to_base);
      for (const auto& slot : flat.slots())
        adamw_step_(Values::span(flat.values(), slot), Values::span(flat.gradient(), slot), Values::span(flat.exp_avg(), slot), Values::span(flat.exp_avg_sq(), slot),
                    to_base ? slot.base.to(torch::kFloat) : torch::Tensor(), groups[slot.group]);
      flat.scatter_();
    }
    EXPECT_TRUE(ours.values().equal(flat.values()));
    EXPECT_TRUE(ours.exp_avg().equal(flat.exp_avg()));
    EXPECT_TRUE(ours.exp_avg_sq().equal(flat.exp_avg_sq()));
    for (size_t i = 0; i < one.tensors.size(); ++i) EXPECT_TRUE(one.tensors[i].second.equal(two.tensors[i].second)) << one.tensors[i].first;
    ours.verify_frozen();
  }
  at::set_num_threads(1);
}

INSTANTIATE_TEST_SUITE_P(EveryDtypeTargetAndIndex, PassIn,
                         testing::Combine(testing::Values(torch::kFloat, torch::kBFloat16, torch::kHalf), testing::Bool(), testing::Bool()));

TEST(AdamWPass, TakesTheGradientGivenForATensorAndLeavesTheOthersAlone) {
  const torch::NoGradGuard no_grad;
  Model one(torch::kFloat), two(torch::kFloat);
  const Values given(one.mask, 2), in_buffer(two.mask, 2);
  put_gradient(given, 1);
  put_gradient(in_buffer, 1);
  const torch::Tensor kept = given.gradient().clone(), values = given.values().clone();
  const Values::Slot& slot = given.slots()[1];
  const torch::Tensor gradient = torch::randn({slot.end - slot.begin});
  Values::span(in_buffer.gradient(), slot).copy_(gradient);
  adamw_pass_(given, {{1, gradient}}, kGroups, /*decay_to_base=*/false);
  adamw_pass_(in_buffer, {{1}}, kGroups, /*decay_to_base=*/false);
  EXPECT_TRUE(given.values().equal(in_buffer.values()));
  EXPECT_TRUE(given.gradient().equal(kept));
  const torch::Tensor moved = given.values().ne(values);
  EXPECT_EQ(moved.sum().item<int64_t>(), Values::span(moved, slot).sum().item<int64_t>());
  EXPECT_GT(moved.sum().item<int64_t>(), 0);
}

TEST(AdamWPass, WithEightBitMomentsEqualsTheFlatStepBetweenRoundingsAtEveryThreadCount) {
  const torch::NoGradGuard no_grad;
  for (const int threads : {1, 3}) {
    at::set_num_threads(threads);
    Model one(torch::kBFloat16), two(torch::kBFloat16);
    const Values ours(one.mask, 2, /*eight_bit_moments=*/true), flat(two.mask, 2);
    for (int64_t step = 1; step <= 3; ++step) {
      auto groups = kGroups;
      for (auto& group : groups) group.step = step;
      put_gradient(ours, step);
      put_gradient(flat, step);
      adamw_pass_(ours, every_slot(ours), groups, /*decay_to_base=*/true);
      adamw_pass_(flat, every_slot(flat), groups, /*decay_to_base=*/true);
      for (const auto& slot : flat.slots()) {  // what one byte keeps of the moments
        const torch::Tensor m = Values::span(flat.exp_avg(), slot), v = Values::span(flat.exp_avg_sq(), slot);
        m.copy_(from_eight_bit(to_eight_bit(m, true, slot.begin, moment_key(step))));
        v.copy_(from_eight_bit(to_eight_bit(v, false, slot.begin, moment_key(step))));
      }
    }
    EXPECT_TRUE(ours.values().equal(flat.values()));
    for (const auto& slot : ours.slots()) EXPECT_TRUE(from_eight_bit(ours.second_moment(slot)).equal(Values::span(flat.exp_avg_sq(), slot)));
    for (size_t i = 0; i < one.tensors.size(); ++i) EXPECT_TRUE(one.tensors[i].second.equal(two.tensors[i].second));
  }
  at::set_num_threads(1);
}

TEST(AdamWPass, OfNothingChangesNothing) {
  Model model(torch::kFloat);
  const Values values(model.mask, 2);
  const torch::Tensor before = values.values().clone();
  adamw_pass_(values, {}, kGroups, /*decay_to_base=*/false);
  EXPECT_TRUE(values.values().equal(before));
}

}  // namespace
}  // namespace sara
