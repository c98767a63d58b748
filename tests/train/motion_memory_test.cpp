// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <torch/types.h>

#include "sara/models/initialize.h"
#include "sara/models/memory_plan.h"
#include "sara/models/unet.h"
#include "sara/train/live_bytes.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

UNetConfig motion_unet() {
  auto config = small_unet();
  config.block_out_channels = {32, 64};
  config.motion = MotionConfig{.heads = {2, 4}, .layers = {1, 1}, .mid_layers = 1, .mid_block = true, .max_frames = 8};
  return config;
}

int64_t kept_by_pass(const UNetConfig& config, const PassSize& size, MemoryLevel level) {
  UNet2DConditionModel model(config, torch::kFloat);
  initialize_(model, 3);
  model.set_memory_level(level);
  std::vector<int64_t> shape{size.batch, config.in_channels, size.frames, size.height, size.width};
  const auto sample = torch::randn(shape), text = torch::randn({size.batch, size.text_tokens, config.cross_attention_dim}), timestep = torch::full({size.batch}, 500.0);
  const LiveBytes live;
  const auto loss = model.forward(sample, timestep, text).square().mean();
  return live.now();
}

TEST(MotionMemory, WhatIsKeptIsCountedWithinATenthAndFallsFromLevelToLevel) {
  const auto config = motion_unet();
  const PassSize size{.batch = 2, .height = 16, .width = 8, .text_tokens = 10, .element_size = 4, .frames = 4};
  int64_t before = 0;
  for (const auto level : {MemoryLevel::n0, MemoryLevel::n1, MemoryLevel::n2, MemoryLevel::checkpoint}) {
    const auto kept = kept_by_pass(config, size, level);
    if (level != MemoryLevel::checkpoint) {
      EXPECT_NEAR(double(kept_bytes(config, size, level)) / double(kept), 1, 0.1) << memory_level_name(level);
    } else {
      EXPECT_LE(kept, kept_bytes(config, size, level));  // which counts the block that is run again too
    }
    if (before > 0) { EXPECT_LT(kept, before) << memory_level_name(level); }
    before = kept;
  }
}

TEST(MotionMemory, GrowsWithTheFrames) {
  const auto config = motion_unet();
  const PassSize one{.height = 16, .width = 8, .text_tokens = 10, .frames = 1}, many{.height = 16, .width = 8, .text_tokens = 10, .frames = 8};
  const auto few = kept_bytes(config, one, MemoryLevel::n0), all = kept_bytes(config, many, MemoryLevel::n0);
  EXPECT_GT(all, 7 * few);
  EXPECT_LT(all, 8 * few);  // the text's keys and values are kept once
}

}  // namespace
}  // namespace sara
