// SPDX-License-Identifier: Apache-2.0
// The optimizer by kernels takes the CPU's steps bit for bit.
#include "sara/ops/adamw_pass.h"

#include <cmath>

#include "sara/cuda/kernels.h"
#include "sara/optim/adamw.h"
#include "sara/sparse/selection.h"
#include "tests/cuda/device.h"

namespace sara {
namespace {

// More tensors than a launch carries, of sizes around a block's; a transposed and a channels_last one among them; two groups.
struct PassModel {
  PassModel(at::ScalarType dtype, bool wide_indices, torch::Device device) {
    torch::manual_seed(4);
    const auto random = [&](at::IntArrayRef sizes) { return (0.1 * torch::randn(sizes)).to(dtype).to(device); };
    for (int64_t i = 0; i < 50; ++i) tensors.emplace_back("t" + std::to_string(i), random({1 + 13 * i}));
    tensors.emplace_back("transposed", random({30, 50}).t());
    tensors.emplace_back("conv", random({8, 6, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast));
    tensors.emplace_back("large", random({90, 100}));
    mask = select(tensors, {.threshold = 0.05}).mask;
    for (size_t i = 0; i < mask.size(); ++i) {
      mask[i].group = i < 20 ? 0 : 1;
      if (wide_indices) mask[i].indices = mask[i].indices.to(torch::kLong);
    }
  }
  NamedTensors tensors;
  Mask mask;
};

std::vector<PassSlot> all_slots(const Values& values) {
  std::vector<PassSlot> slots;
  for (size_t i = 0; i < values.slots().size(); ++i) slots.push_back({i});
  return slots;
}

struct AdamWOn : OnKernelDevice, testing::WithParamInterface<std::tuple<at::ScalarType, bool, bool, bool>> {};

TEST_P(AdamWOn, ThreeStepsGiveTheCpusBits) {
  const torch::NoGradGuard no_grad;
  const auto [dtype, wide, to_base, eight_bit] = GetParam();
  const auto work = [&, dtype = dtype, wide = wide, to_base = to_base, eight_bit = eight_bit](torch::Device device) {
    PassModel model(dtype, wide, device);
    const Values values(model.mask, 2, eight_bit);
    for (int64_t step = 1; step <= 3; ++step) {
      torch::manual_seed(step);
      values.gradient().copy_(torch::randn({values.active()}));
      std::vector<PassSlot> slots = all_slots(values);
      slots[3].gradient = torch::ones({values.slots()[3].end - values.slots()[3].begin}).to(device);  // given beside the buffer
      adamw_pass_(values, slots, {{.lr = 1e-2, .weight_decay = 0.1, .step = step, .gradient_scale = 0.5}, {.lr = 3e-3, .beta1 = 0.5, .step = step}}, to_base);
    }
    std::vector<torch::Tensor> out{values.values(), values.exp_avg(), values.exp_avg_sq()};
    if (eight_bit) out.insert(out.end(), {values.exp_avg_scale(), values.exp_avg_sq_scale()});
    for (const auto& [name, tensor] : model.tensors) out.push_back(tensor);
    return out;
  };
  const auto ours = by_kernels([&] { return work(kernel_device()); }), expected = work(torch::kCPU);
  for (size_t i = 0; i < ours.size(); ++i) EXPECT_TRUE(ours[i].equal(expected[i])) << "result " << i;
}

INSTANTIATE_TEST_SUITE_P(EveryDtypeIndexTargetAndMoment, AdamWOn,
                         testing::Combine(testing::Values(torch::kFloat, torch::kBFloat16, torch::kHalf), testing::Bool(), testing::Bool(), testing::Bool()));

struct NormOn : OnKernelDevice {
  static std::vector<double> norm_and_clip(const std::vector<torch::Tensor>& tensors, double max_norm) {
    const auto result = by_kernels([&] {
      std::vector<torch::Tensor> given;
      for (const auto& tensor : tensors) given.push_back(there(tensor));
      return std::vector{cuda::kernels(kernel_device())->norm_and_clip(given, max_norm)};
    });
    return {result[0][0].item<double>(), result[0][1].item<double>()};
  }
};

TEST_F(NormOn, TheNormIsThatOfAllTensorsInFp64) {
  const torch::Tensor a = torch::randn({20001}), b = torch::randn({5}), all = torch::cat({a, b}).to(torch::kDouble);
  EXPECT_NEAR(norm_and_clip({a, b, torch::empty({0})}, 0)[0], all.norm().item<double>(), 1e-11);
  EXPECT_EQ(norm_and_clip({torch::tensor({3.0f}), torch::tensor({4.0f})}, 0), (std::vector<double>{5, 1}));
  EXPECT_TRUE(std::isfinite(norm_and_clip({torch::full({100}, 3e38f)}, 1)[0]));  // its squares are none in fp32
}

TEST_F(NormOn, TheFactorBringsALargeNormDownAndLeavesASmallOneAlone) {
  const torch::Tensor five = torch::tensor({3.0f, 4.0f});
  EXPECT_EQ(norm_and_clip({five}, 2)[1], 0.4);
  EXPECT_EQ(norm_and_clip({five}, 5)[1], 1);
  EXPECT_EQ(norm_and_clip({five}, 0)[1], 1);
  EXPECT_EQ(norm_and_clip({torch::empty({0})}, 2), (std::vector<double>{0, 1}));
  for (const float bad : {NAN, INFINITY}) EXPECT_TRUE(std::isnan(norm_and_clip({torch::tensor({1.0f, bad})}, 2)[1]));
}

// Four steps, the third with a gradient that is not finite; clipping is at work.
struct StepsOn : OnKernelDevice, testing::WithParamInterface<std::tuple<const char*, bool>> {};

TEST_P(StepsOn, TheOptimizerSkipsClipsAndReportsAsOnTheCpu) {
  const auto [moments, keep] = GetParam();
  struct Seen {
    std::vector<torch::Tensor> tensors;
    std::vector<StepReport> reports;
    int64_t updates;
  };
  const auto train = [moments = moments, keep = keep](torch::Device device) {
    torch::manual_seed(9);
    const torch::Tensor weight = (1e-2 * torch::randn({40, 30})).to(device).requires_grad_(), bias = (1e-2 * torch::randn({30})).to(device).requires_grad_();
    AdamW optimizer(NamedTensors{{"weight", weight}, {"bias", bias}}, AdamWOptions().threshold(5e-3).max_grad_norm(0.5).lambda_rank(0).moments(moments).progressive_iter(4));
    Seen seen;
    for (int64_t t = 1; t <= 4; ++t) {
      torch::Tensor x = torch::randn({8, 40});
      if (t == 3) x[0][0] = INFINITY;
      (x.to(device).mm(weight) + bias).square().mean().backward();
      if (keep) {
        seen.reports.push_back(optimizer.step_keeping_gradient(optimizer.group_steps(1e-3)));
        optimizer.zero_grad();
      } else {
        seen.reports.push_back(optimizer.step(t, 1e-3));
      }
      seen.tensors.push_back(weight.detach().clone());
    }
    seen.tensors.insert(seen.tensors.end(), {bias.detach(), optimizer.values().values().clone(), optimizer.values().exp_avg().clone()});
    seen.updates = optimizer.state().updates;
    optimizer.values().verify_frozen();
    return seen;
  };
  const Seen expected = train(torch::kCPU);
  const ByKernels on;
  const Seen ours = train(kernel_device());
  EXPECT_EQ(ours.updates, 3);
  for (size_t t = 0; t < 4; ++t) {
    EXPECT_EQ(ours.reports[t].skipped, t == 2);
    EXPECT_EQ(ours.reports[t].skipped, expected.reports[t].skipped);
    if (t != 2) {
      EXPECT_NEAR(ours.reports[t].grad_norm, expected.reports[t].grad_norm, 1e-5 * expected.reports[t].grad_norm);
      EXPECT_GT(ours.reports[t].grad_norm, 0.0);
    }
    EXPECT_EQ(ours.reports[t].active, expected.reports[t].active);
  }
  EXPECT_TRUE(ours.tensors[2].equal(ours.tensors[1]));
  EXPECT_FALSE(ours.tensors[3].equal(ours.tensors[2]));
  for (size_t i = 0; i < ours.tensors.size(); ++i) EXPECT_TRUE(torch::allclose(ours.tensors[i].cpu(), expected.tensors[i], 1e-5, 1e-7)) << "tensor " << i;
}

INSTANTIATE_TEST_SUITE_P(EveryMomentAndKeeping, StepsOn, testing::Combine(testing::Values("fp32", "8bit"), testing::Bool()));

}  // namespace
}  // namespace sara
