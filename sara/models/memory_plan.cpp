// SPDX-License-Identifier: Apache-2.0
#include "sara/models/memory_plan.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/ops/attention.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace sara {
namespace {

constexpr std::pair<MemoryLevel, const char*> kLevels[] = {
    {MemoryLevel::n0, "N0"}, {MemoryLevel::n1, "N1"}, {MemoryLevel::n2, "N2"}, {MemoryLevel::checkpoint, "checkpoint"}};

// Walks the denoiser as forward() does and adds up what each block keeps, a block at a time.
class Counter {
 public:
  Counter(const UNetConfig& config, const PassSize& size, MemoryLevel level) : config_(config), size_(size), level_(level) {}

  void resnet(int64_t in, int64_t out, int64_t area) { block(in * area, out * area); }

  void transformer(size_t level, int64_t area) {
    transformers(config_.block_out_channels[level], config_.transformer_layers_per_block[level], config_.heads[level], area, area / size_.frames, size_.text_tokens);
  }

  // Its second attention too is of the frames to each other; the frames together are a copy.
  void motion(size_t level, int64_t layers, int64_t area) {
    if (!config_.motion) return;
    const int64_t channels = config_.block_out_channels[level];
    transformers(channels, layers, config_.motion->heads[level], area, size_.frames, 0);
  }

  // `area` tokens in sequences of `keys`; a second attention to a text, or to the tokens themselves when there is none.
  void transformers(int64_t channels, int64_t layers, int64_t heads, int64_t area, int64_t keys, int64_t text_tokens) {
    const bool checkpointed = level_ == MemoryLevel::checkpoint;
    const int64_t inner = level_ == MemoryLevel::n0 ? 8 : 0;  // the feed-forward's first product
    const int64_t first = attention(channels, heads, area, keys, 0), second = attention(channels, heads, area, text_tokens ? text_tokens : keys, text_tokens);
    const int64_t tokens = channels * area * (1 + inner);
    block(channels * area, layers * (first + second + tokens) + channels * area,
          checkpointed ? layers * (channels * area * 12 + 2 * channels * (text_tokens ? text_tokens : area)) : 0);
  }

  int64_t attention(int64_t channels, int64_t heads, int64_t area, int64_t keys, int64_t text_tokens) const {
    const AttentionKept kept = attention_kept(level_, text_tokens > 0, keys, channels);
    const int64_t log_sums = kept.attended ? area * heads * 4 / size_.element_size : 0;
    return channels * area * (1 + kept.queries + kept.attended) + 2 * channels * (text_tokens ? text_tokens : area) * kept.keys_and_values + log_sums;
  }

  void convolution(int64_t channels, int64_t area) { kept_ += channels * area; }

  int64_t bytes() const { return (kept_ + largest_) * size_.batch * size_.element_size; }

 private:
  // A block keeps its input and what lies inside; checkpointed it keeps the input, and only one at a time has the rest.
  void block(int64_t input, int64_t inside, int64_t more_when_run_again = 0) {
    kept_ += input;
    if (level_ == MemoryLevel::checkpoint)
      largest_ = std::max(largest_, inside + more_when_run_again);
    else
      kept_ += inside;
  }

  const UNetConfig& config_;
  PassSize size_;
  MemoryLevel level_;
  int64_t kept_ = 0, largest_ = 0;  // numbers, of one picture or clip
};

int64_t halved(int64_t side) { return (side + 1) / 2; }

}  // namespace

int64_t kept_bytes(const UNetConfig& config, const PassSize& size, MemoryLevel level) {
  Counter counter(config, size, level);
  const auto& channels = config.block_out_channels;
  const size_t levels = channels.size();
  std::vector<std::pair<int64_t, int64_t>> skips;  // channels and area
  std::vector<int64_t> areas;                      // of the levels, all frames together
  int64_t height = size.height, width = size.width, now = channels[0];
  const auto area = [&] { return height * width * size.frames; };
  const auto temporal_layers = [&](size_t i) { return config.motion ? config.motion->layers[i] : 0; };
  counter.convolution(config.in_channels, area());
  skips.emplace_back(now, area());
  for (size_t i = 0; i < levels; ++i) {
    areas.push_back(area());
    for (int64_t layer = 0; layer < config.layers_per_block[i]; ++layer) {
      counter.resnet(now, channels[i], areas[i]);
      now = channels[i];
      if (config.down_block_types[i] == "CrossAttnDownBlock2D") counter.transformer(i, areas[i]);
      counter.motion(i, temporal_layers(i), areas[i]);
      skips.emplace_back(now, areas[i]);
    }
    if (i + 1 == levels) break;
    counter.convolution(now, areas[i]);
    height = halved(height);
    width = halved(width);
    skips.emplace_back(now, area());
  }
  counter.resnet(now, now, areas.back());
  counter.transformer(levels - 1, areas.back());
  if (config.motion && config.motion->mid_block) counter.motion(levels - 1, config.motion->mid_layers, areas.back());
  counter.resnet(now, now, areas.back());
  for (size_t i = levels; i-- > 0;) {
    for (int64_t layer = 0; layer <= config.layers_per_block[i]; ++layer) {
      counter.resnet(now + skips.back().first, channels[i], areas[i]);
      skips.pop_back();
      now = channels[i];
      if (config.up_block_types[levels - 1 - i] == "CrossAttnUpBlock2D") counter.transformer(i, areas[i]);
      counter.motion(i, temporal_layers(i), areas[i]);
    }
    if (i > 0) counter.convolution(now, areas[i]);  // before it grows
  }
  counter.convolution(now, areas[0]);  // conv_norm_out
  return counter.bytes();
}

MemoryLevel memory_level(const std::string& name) {
  for (const auto& [level, known] : kLevels)
    if (name == known) return level;
  throw InvalidArgument(message("memory: unknown level (expected N0, N1, N2 or checkpoint, got ", escaped(name), ")"));
}

std::string memory_level_name(MemoryLevel level) {
  for (const auto& [known, name] : kLevels)
    if (level == known) return name;
  SARA_CHECK(false, "a memory level outside its enumeration");
}

MemoryLevel fitting_memory_level(const Denoiser& denoiser, const PassSize& size, int64_t available) {
  for (const auto& [level, name] : kLevels)
    if (denoiser.kept_bytes(size, level) <= available) return level;
  return MemoryLevel::checkpoint;
}

}  // namespace sara
