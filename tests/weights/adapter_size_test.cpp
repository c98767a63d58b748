// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "sara/weights/adapter.h"

namespace sara {
namespace {

// Bytes a selected weight of a file with bf16 deltas, of one tensor of `numel` weights with this share selected at random.
double bytes_per_weight(int64_t numel, double share) {
  const torch::Tensor indices = torch::rand({numel}).lt(share).nonzero().view(-1).to(torch::kInt);
  const auto path = std::filesystem::temp_directory_path() / ("sara_size_" + std::to_string(::getpid()) + ".safetensors");
  save_adapter(path.string(), {"x", {{"w", {indices, torch::randn({indices.numel()}).to(torch::kBFloat16), false}}}, {{"base_hash", "{}"}}});
  const auto bytes = static_cast<double>(std::filesystem::file_size(path));
  std::filesystem::remove(path);
  return bytes / static_cast<double>(indices.numel());
}

// Two bytes of delta and one of gap are the floor; what exceeds it are gaps of 255 and more, (1 - share)^255 of them, and the header.
TEST(AdapterSize, IsThreeBytesAWeightAtTwoPerCentAndBelowFourAtHalfAPerCent) {
  EXPECT_LT(bytes_per_weight(20'000'000, 0.05), 3.002);
  EXPECT_LT(bytes_per_weight(20'000'000, 0.02), 3.01);
  EXPECT_LT(bytes_per_weight(20'000'000, 0.005), 3.45);
}

}  // namespace
}  // namespace sara
