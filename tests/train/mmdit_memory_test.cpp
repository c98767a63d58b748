// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <torch/types.h>

#include <set>
#include <utility>
#include <vector>

#include "sara/models/initialize.h"
#include "sara/models/memory_plan.h"
#include "sara/models/mmdit.h"
#include "sara/train/live_bytes.h"

namespace sara {
namespace {

MmditConfig mmdit_of(bool qk_norm, std::set<int64_t> dual_layers) {
  MmditConfig config;
  config.sample_size = 16;
  config.in_channels = config.out_channels = 4;
  config.num_layers = 3;
  config.attention_head_dim = 16;
  config.num_attention_heads = 4;
  config.caption_projection_dim = 64;
  config.joint_attention_dim = 24;
  config.pooled_projection_dim = 20;
  config.pos_embed_max_size = 16;
  config.qk_norm = qk_norm;
  config.dual_attention_layers = std::move(dual_layers);
  return config;
}

// What a pass keeps, by the allocator, and the gradients of all weights.
struct MmditPass {
  int64_t kept = 0;
  std::vector<torch::Tensor> gradients;
};

MmditPass pass_of(const MmditConfig& config, const PassSize& size, MemoryLevel level, c10::ScalarType dtype) {
  SD3Transformer2DModel model(config, dtype);
  initialize_(model, 3);
  model.set_memory_level(level);
  torch::manual_seed(5);
  const auto sample = torch::randn({size.batch, config.in_channels, size.height, size.width}).to(dtype);
  const auto text = torch::randn({size.batch, size.text_tokens, config.joint_attention_dim}).to(dtype);
  const auto pooled = torch::randn({size.batch, config.pooled_projection_dim}).to(dtype), timestep = torch::full({size.batch}, 500.0);
  MmditPass out;
  torch::Tensor loss;
  {
    const LiveBytes live;
    loss = model.forward(sample, timestep, text, {pooled, {}}).to(torch::kFloat).square().mean();
    out.kept = live.now();
  }
  loss.backward();
  for (const auto& parameter : model.parameters()) out.gradients.push_back(parameter.grad());
  return out;
}

TEST(MmditMemory, WhatIsKeptIsCountedWithinATenth) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    for (const bool qk_norm : {false, true}) {
      for (const auto& dual : {std::set<int64_t>{}, std::set<int64_t>{0, 1}}) {
        const auto config = mmdit_of(qk_norm, dual);
        const PassSize size{2, 16, 24, 20, static_cast<int64_t>(c10::elementSize(dtype))};
        const auto counted = double(kept_bytes(config, size, MemoryLevel::n0)), kept = double(pass_of(config, size, MemoryLevel::n0, dtype).kept);
        EXPECT_NEAR(counted / kept, 1, 0.1) << "qk_norm " << qk_norm << ", dual " << dual.size() << ", " << dtype;
      }
    }
  }
}

TEST(MmditMemory, CheckpointKeepsLessThanHalfAndGivesTheSameGradients) {
  const auto config = mmdit_of(/*qk_norm=*/true, {0});
  const PassSize size{2, 16, 16, 20, 4};
  const auto all = pass_of(config, size, MemoryLevel::n0, torch::kFloat), few = pass_of(config, size, MemoryLevel::checkpoint, torch::kFloat);
  EXPECT_LT(2 * few.kept, all.kept);
  EXPECT_LE(few.kept, kept_bytes(config, size, MemoryLevel::checkpoint));
  EXPECT_LT(kept_bytes(config, size, MemoryLevel::checkpoint), kept_bytes(config, size, MemoryLevel::n0));
  ASSERT_EQ(few.gradients.size(), all.gradients.size());
  for (size_t i = 0; i < all.gradients.size(); ++i) EXPECT_TRUE(few.gradients[i].allclose(all.gradients[i], 1e-4, 1e-7)) << i;
}

TEST(MmditMemory, OtherLevelsKeepWhatN0Keeps) {
  const auto config = mmdit_of(/*qk_norm=*/false, {});
  const PassSize size{1, 16, 16, 20, 4};
  for (const MemoryLevel level : {MemoryLevel::n1, MemoryLevel::n2}) {
    EXPECT_EQ(kept_bytes(config, size, level), kept_bytes(config, size, MemoryLevel::n0));
    EXPECT_EQ(pass_of(config, size, level, torch::kFloat).kept, pass_of(config, size, MemoryLevel::n0, torch::kFloat).kept);
  }
}

}  // namespace
}  // namespace sara
