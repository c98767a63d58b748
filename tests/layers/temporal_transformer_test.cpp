// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/temporal_transformer.h"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cmath>

#include "sara/base/error.h"

namespace sara {
namespace {

std::shared_ptr<TemporalTransformer> random_motion_module(int64_t layers = 1) {
  torch::manual_seed(7);
  auto module = std::make_shared<TemporalTransformer>(TemporalTransformerOptions{.channels = 8, .heads = 2, .layers = layers, .max_frames = 6, .norm_groups = 4}, torch::kFloat32);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : module->parameters()) parameter.uniform_(-0.5, 0.5);
  return module;
}

TEST(FramePositions, AreSinesAndCosinesOfFallingFrequencies) {
  const FramePositions positions(3, 4, torch::kFloat32);
  const auto table = positions.of(3);
  ASSERT_EQ(table.sizes(), (at::IntArrayRef{3, 4}));
  for (int64_t frame = 0; frame < 3; ++frame) {
    EXPECT_NEAR(table[frame][0].item<float>(), std::sin(double(frame)), 1e-6);
    EXPECT_NEAR(table[frame][1].item<float>(), std::cos(double(frame)), 1e-6);
    EXPECT_NEAR(table[frame][2].item<float>(), std::sin(double(frame) / 100), 1e-6);
    EXPECT_NEAR(table[frame][3].item<float>(), std::cos(double(frame) / 100), 1e-6);
  }
}

TEST(TemporalTransformer, ItsTableIsABufferAndNoParameter) {
  const auto module = random_motion_module(2);
  for (const auto& item : module->named_parameters()) EXPECT_EQ(item.key().find("pos_embed"), std::string::npos) << item.key();
  EXPECT_TRUE(module->named_buffers().contains("transformer_blocks.1.pos_embed.pe"));
  EXPECT_EQ(module->named_buffers().size(), 2);
}

TEST(TemporalTransformer, WithAZeroOutputProjectionIsTheIdentity) {
  const auto module = random_motion_module();
  const torch::NoGradGuard no_grad;
  module->named_parameters()["proj_out.weight"].fill_(0);
  module->named_parameters()["proj_out.bias"].fill_(0);
  const auto x = torch::randn({2 * 3, 8, 2, 5});
  EXPECT_TRUE(module->forward(x, 3).equal(x));
}

TEST(TemporalTransformer, ClipsDoNotSeeEachOtherAndFramesDo) {
  const auto module = random_motion_module();
  const torch::NoGradGuard no_grad;
  const auto x = torch::randn({2 * 3, 8, 2, 5});
  const auto together = module->forward(x, 3);
  for (const int64_t clip : {0, 1}) {
    const auto alone = module->forward(x.narrow(0, 3 * clip, 3).contiguous(), 3);
    EXPECT_TRUE(alone.allclose(together.narrow(0, 3 * clip, 3), 1e-5, 1e-6));
  }
  auto changed = x.clone();
  changed[2] += 1;
  EXPECT_FALSE(module->forward(changed, 3)[0].allclose(together[0], 1e-4, 1e-4));
}

TEST(TemporalTransformer, APlaceSeesOtherPlacesThroughTheNormAlone) {
  const auto module = random_motion_module();
  const torch::NoGradGuard no_grad;
  const auto x = torch::randn({4, 8, 2, 2}), swapped = x.flip({3});  // the norm's sums stay
  EXPECT_TRUE(module->forward(swapped, 4).allclose(module->forward(x, 4).flip({3}), 1e-5, 1e-5));
  const auto reversed = x.flip({0});  // here they stay too, and the positions differ
  EXPECT_FALSE(module->forward(reversed, 4).allclose(module->forward(x, 4).flip({0}), 1e-3, 1e-3));
}

TEST(TemporalTransformer, EveryLevelGivesTheSameResultAndGradients) {
  const auto x = torch::randn({2 * 3, 8, 2, 5}).requires_grad_(), weights = torch::randn({2 * 3, 8, 2, 5});
  torch::Tensor result, of_x;
  std::vector<torch::Tensor> gradients;
  for (const auto level : {MemoryLevel::n0, MemoryLevel::n1, MemoryLevel::n2, MemoryLevel::checkpoint}) {
    const auto module = random_motion_module(2);
    module->set_memory_level(level);
    x.mutable_grad().reset();
    const auto y = module->forward(x, 3);
    (y * weights).sum().backward();
    if (level == MemoryLevel::n0) {
      result = y.detach();
      of_x = x.grad().clone();
      for (const auto& parameter : module->parameters()) gradients.push_back(parameter.grad());
    }
    EXPECT_TRUE(y.allclose(result, 1e-5, 1e-6));
    EXPECT_TRUE(x.grad().allclose(of_x, 1e-4, 1e-5));
    for (size_t i = 0; i < gradients.size(); ++i) {
      EXPECT_GT(gradients[i].abs().sum().item<float>(), 0) << i;
      EXPECT_TRUE(module->parameters()[i].grad().allclose(gradients[i], 1e-4, 1e-5)) << i;
    }
  }
}

}  // namespace
}  // namespace sara
