// SPDX-License-Identifier: Apache-2.0
#include "sara/models/clip_text.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"
#include "sara/models/config.h"
#include "sara/models/initialize.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

TEST(ClipText, OfTheKnownModelsHasThePublishedTensors) {
  const ClipTextModel l(clip_l(), torch::device(torch::kMeta)), h(open_clip_h(), torch::device(torch::kMeta));
  EXPECT_EQ(elements(l), 123'060'480);
  EXPECT_EQ(l.parameters().size(), 196u);
  EXPECT_EQ(elements(h), 340'387'840);
  const ClipTextModel g(open_clip_g(), torch::device(torch::kMeta));
  EXPECT_EQ(elements(g), 694'659'840);
  EXPECT_EQ(g.named_parameters()["text_projection.weight"].sizes(), (std::vector<int64_t>{1280, 1280}));
  auto projected = clip_l();
  projected.with_projection = true;
  projected.projection_dim = 768;
  EXPECT_EQ(elements(ClipTextModel(projected, torch::device(torch::kMeta))), 123'650'304);
  const auto p = l.named_parameters();
  EXPECT_TRUE(p.contains("text_model.encoder.layers.11.self_attn.out_proj.bias"));
  EXPECT_EQ(p["text_model.embeddings.position_embedding.weight"].sizes(), (std::vector<int64_t>{77, 768}));
}

TEST(ClipText, ALaterTokenDoesNotChangeEarlierStates) {
  ClipTextModel text(small_clip_text(), torch::kFloat32);
  initialize_(text, 1);
  const torch::NoGradGuard no_grad;
  const auto a = text.forward(torch::tensor({{3, 4, 5, 6}})), b = text.forward(torch::tensor({{3, 4, 9, 6}}));
  EXPECT_TRUE(a.narrow(1, 0, 2).allclose(b.narrow(1, 0, 2)));
  EXPECT_FALSE(a.narrow(1, 2, 1).allclose(b.narrow(1, 2, 1)));
  EXPECT_FALSE(a.narrow(1, 3, 1).allclose(b.narrow(1, 3, 1)));
}

TEST(ClipText, TheFinalNormMakesEveryStateZeroMeanUnitVariance) {
  ClipTextModel text(small_clip_text(), torch::kFloat32);
  initialize_(text, 1);
  const torch::NoGradGuard no_grad;
  const auto y = text.forward(torch::tensor({{1, 2}, {3, 4}}));
  EXPECT_TRUE(y.mean(-1).allclose(torch::zeros({2, 2}), 0, 1e-5));
  EXPECT_TRUE(y.var(-1, /*unbiased=*/false).allclose(torch::ones({2, 2}), 0.05));
}

TEST(ClipText, RunsInHalfPrecision) {
  ClipTextModel text(small_clip_text(), torch::kBFloat16);
  initialize_(text, 1);
  EXPECT_EQ(text.forward(torch::tensor({{1, 2}})).scalar_type(), torch::kBFloat16);
}

TEST(ClipText, BadTokensAndLengthsAreRefused) {
  ClipTextModel text(small_clip_text(), torch::kFloat32);
  initialize_(text, 1);
  EXPECT_THROW(text.forward(torch::tensor({{50}})), InvalidArgument);
  EXPECT_THROW(text.forward(torch::tensor({{-1}})), InvalidArgument);
  EXPECT_THROW(text.forward(torch::zeros({1, 9}, torch::kInt64)), InvalidArgument);
  EXPECT_THROW(text.forward(torch::zeros({8}, torch::kInt64)), InvalidArgument);
}

TEST(ClipText, HeadsThatDoNotDivideTheWidthAreRefused) {
  auto config = small_clip_text();
  config.num_attention_heads = 3;
  EXPECT_THROW(ClipTextModel(config, torch::kFloat32), InvalidArgument);
}

TEST(ClipTextConfig, GoesThroughJsonUnchangedAndKeepsUnknownKeys) {
  for (Json json : {clip_l().to_json(), open_clip_h().to_json()}) {
    json["architectures"] = {"CLIPTextModel"};
    json["eos_token_id"] = 2;
    json["torch_dtype"] = "float32";
    EXPECT_EQ(ClipTextConfig::from_json(json).to_json(), json);
  }
}

TEST(ClipTextConfig, UnsupportedVariantsAreRefusedByTheirKey) {
  const std::vector<std::pair<std::string, Json>> variants = {{"hidden_act", "relu"},
                                                              {"attention_dropout", 0.1},
                                                              {"model_type", "t5"},
                                                              {"hidden_size", -1},
                                                              {"layer_norm_eps", nullptr}};
  for (const auto& [key, value] : variants) {
    try {
      ClipTextConfig::from_json({{key, value}});
      ADD_FAILURE() << key << " was accepted";
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find("\"" + key + "\""), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace sara
