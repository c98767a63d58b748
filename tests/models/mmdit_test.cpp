// SPDX-License-Identifier: Apache-2.0
#include "sara/models/mmdit.h"

#include <gtest/gtest.h>

#include <utility>

#include "sara/models/config.h"
#include "sara/models/initialize.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

TEST(Mmdit, OfTheKnownModelsHasThePublishedTensors) {
  const auto counts = [](const MmditConfig& config) {
    const SD3Transformer2DModel model(config, torch::device(torch::kMeta));
    return std::pair{model.parameters().size(), elements(model)};
  };
  EXPECT_EQ(counts(sd3_medium()), (std::pair{size_t{682}, int64_t{2'028'328'000}}));
  EXPECT_EQ(counts(sd35_medium()), (std::pair{size_t{908}, int64_t{2'243'171'520}}));
  EXPECT_EQ(counts(sd35_large()), (std::pair{size_t{1226}, int64_t{8'056'627'520}}));
  const SD3Transformer2DModel model(sd3_medium(), torch::device(torch::kMeta));
  EXPECT_EQ(model.named_buffers()["pos_embed.pos_embed"].numel(), 56'623'104);
}

TEST(Mmdit, ConfigsGoThroughJsonUnchanged) {
  for (const auto& config : {small_mmdit(), sd3_medium(), sd35_medium(), sd35_large()}) {
    auto json = config.to_json();
    json["my_note"] = "kept";
    EXPECT_EQ(MmditConfig::from_json(json).to_json(), json);
  }
}

TEST(Mmdit, HasAGradientForEveryWeightInBothPrecisions) {
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    SD3Transformer2DModel model(small_mmdit(), dtype);
    initialize_(model, 1);
    const auto y = model.forward(torch::randn({2, 4, 8, 4}).to(dtype), torch::tensor({1.0, 900.0}), torch::randn({2, 5, 12}).to(dtype),
                                 {torch::randn({2, 6}).to(dtype), {}});
    EXPECT_EQ(y.sizes(), (std::vector<int64_t>{2, 4, 8, 4}));
    EXPECT_EQ(y.scalar_type(), dtype);
    (y * torch::randn_like(y)).sum().backward();
    for (const auto& item : model.named_parameters()) EXPECT_TRUE(item.value().grad().defined()) << item.key();
  }
}

TEST(Mmdit, ThePositionTableFollowsTheModelToAnotherType) {
  SD3Transformer2DModel model(small_mmdit(), torch::kFloat32);
  initialize_(model, 1);
  const auto sample = torch::randn({1, 4, 4, 4}), text = torch::randn({1, 3, 12}), pooled = torch::randn({1, 6});
  const torch::NoGradGuard no_grad;
  const auto before = model.forward(sample, torch::tensor({5.0}), text, {pooled, {}});
  model.to(torch::kFloat64);
  const auto after = model.forward(sample.to(torch::kFloat64), torch::tensor({5.0}), text.to(torch::kFloat64), {pooled.to(torch::kFloat64), {}});
  EXPECT_TRUE(before.allclose(after.to(torch::kFloat32), 1e-3, 1e-4));
}

}  // namespace
}  // namespace sara
