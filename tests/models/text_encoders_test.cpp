// SPDX-License-Identifier: Apache-2.0
#include "sara/models/text_encoders.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"
#include "sara/models/initialize.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

std::shared_ptr<ClipTextModel> small_encoder(int64_t projection, uint64_t seed) {
  auto config = small_clip_text();
  config.with_projection = projection > 0;
  config.projection_dim = std::max<int64_t>(projection, 1);
  config.eos_token_id = 7;
  auto clip = std::make_shared<ClipTextModel>(config, torch::kFloat32);
  initialize_(*clip, seed);
  return clip;
}

std::shared_ptr<T5EncoderModel> small_t5(int64_t width) {
  T5Config config;
  config.vocab_size = 30;
  config.d_model = width;
  config.d_kv = 4;
  config.d_ff = 8;
  config.num_layers = config.num_heads = 2;
  auto t5 = std::make_shared<T5EncoderModel>(config, torch::kFloat32);
  initialize_(*t5, 3);
  return t5;
}

const torch::Tensor kIds = torch::tensor({{1, 2, 7}, {3, 7, 7}});

TEST(TextEncoders, OfStableDiffusionGiveTheLastState) {
  const auto clip = small_encoder(0, 1);
  const SdTextEncoders encoders(clip);
  const auto conditions = encoders.encode({kIds});
  EXPECT_TRUE(conditions.text.equal(clip->forward(kIds)));
  EXPECT_FALSE(conditions.text.requires_grad());
  EXPECT_FALSE(conditions.pooled.defined());
  EXPECT_EQ(encoders.text_width(), 16);
}

TEST(TextEncoders, OfSdxlSetBothPenultimateStatesSideBySide) {
  const auto l = small_encoder(0, 1), g = small_encoder(5, 2);
  const SdxlTextEncoders encoders(l, g);
  const auto conditions = encoders.encode({kIds, kIds});
  EXPECT_TRUE(conditions.text.equal(torch::cat({l->states(kIds).penultimate, g->states(kIds).penultimate}, 2)));
  EXPECT_TRUE(conditions.pooled.equal(g->states(kIds).pooled));
  EXPECT_EQ(encoders.text_width(), 32);
  EXPECT_EQ(encoders.pooled_width(), 5);
  EXPECT_THROW(SdxlTextEncoders(g, l), InvalidArgument);
}

TEST(TextEncoders, OfSd3PutT5BehindTheClipsOrZerosInItsPlace) {
  const auto l = small_encoder(4, 1), g = small_encoder(5, 2);
  const auto t5 = small_t5(40);
  const auto t5_ids = torch::tensor({{4, 5, 1, 0}, {6, 1, 0, 0}});
  const auto with = Sd3TextEncoders(l, g, t5, 40, 4).encode({kIds, kIds, t5_ids});
  EXPECT_EQ(with.text.sizes(), (std::vector<int64_t>{2, 3 + 4, 40}));
  EXPECT_EQ(with.pooled.sizes(), (std::vector<int64_t>{2, 9}));
  EXPECT_TRUE(with.text.narrow(1, 3, 4).allclose(t5->forward(t5_ids), 1e-4, 1e-5));
  EXPECT_EQ(with.text.narrow(1, 0, 3).narrow(2, 32, 8).abs().max().item<double>(), 0);

  const Sd3TextEncoders alone(l, g, nullptr, 40, 6);
  const auto without = alone.encode({kIds, kIds});
  EXPECT_EQ(alone.inputs().size(), 2u);
  EXPECT_EQ(without.text.sizes(), (std::vector<int64_t>{2, 3 + 6, 40}));
  EXPECT_TRUE(without.text.narrow(1, 0, 3).equal(with.text.narrow(1, 0, 3)));
  EXPECT_EQ(without.text.narrow(1, 3, 6).abs().max().item<double>(), 0);
  EXPECT_THROW(Sd3TextEncoders(l, g, t5, 48, 4), InvalidArgument);
  EXPECT_THROW(Sd3TextEncoders(l, g, nullptr, 30, 4), InvalidArgument);
  EXPECT_THROW(Sd3TextEncoders(small_encoder(0, 1), g, t5, 40, 4), InvalidArgument);
}

TEST(T5, BucketsAreExactNearByAndLogarithmicFarAway) {
  const auto buckets = relative_buckets(torch::tensor({0, -1, 1, -7, 7, -8, 8, -127, 127, -1000, 1000}), 32, 128);
  EXPECT_TRUE(buckets.equal(torch::tensor({0, 1, 17, 7, 23, 8, 24, 15, 31, 15, 31}))) << buckets;
}

}  // namespace
}  // namespace sara
