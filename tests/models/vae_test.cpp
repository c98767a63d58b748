// SPDX-License-Identifier: Apache-2.0
#include "sara/models/vae.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"
#include "sara/models/config.h"
#include "sara/models/initialize.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

TEST(Vae, OfStableDiffusionHasThePublishedTensors) {
  const AutoencoderKL vae(sd_vae(), torch::device(torch::kMeta));
  EXPECT_EQ(vae.parameters().size(), 248u);
  EXPECT_EQ(elements(vae), 83'653'863);
  const auto p = vae.named_parameters();
  EXPECT_TRUE(p.contains("encoder.mid_block.attentions.0.to_out.0.bias"));
  EXPECT_TRUE(p.contains("decoder.up_blocks.2.resnets.0.conv_shortcut.weight"));
  EXPECT_EQ(vae.config().factor(), 8);
}

TEST(Vae, WithoutQuantisationConvolutionsAnd16ChannelsHasTheSd3Tensors) {
  const AutoencoderKL vae(sd3_vae(), torch::device(torch::kMeta));
  EXPECT_EQ(vae.parameters().size(), 244u);
  EXPECT_EQ(elements(vae), 83'819'683);
}

TEST(Vae, HalvesAndDoublesByItsFactor) {
  AutoencoderKL vae(small_vae(), torch::kFloat32);
  initialize_(vae, 1);
  const torch::NoGradGuard no_grad;
  const auto posterior = vae.encode(torch::randn({2, 3, 9, 6}));
  EXPECT_EQ(posterior.mean.sizes(), (std::vector<int64_t>{2, 4, 4, 3}));
  EXPECT_EQ(posterior.logvar.sizes(), (std::vector<int64_t>{2, 4, 4, 3}));
  EXPECT_EQ(vae.decode(posterior.mean).sizes(), (std::vector<int64_t>{2, 3, 8, 6}));
}

TEST(Vae, RunsInHalfPrecision) {
  AutoencoderKL vae(small_vae(), torch::kBFloat16);
  initialize_(vae, 1);
  const torch::NoGradGuard no_grad;
  const auto picture = vae.decode(vae.encode(torch::randn({1, 3, 8, 8}).to(torch::kBFloat16)).mean);
  EXPECT_EQ(picture.scalar_type(), torch::kBFloat16);
  EXPECT_TRUE(picture.isfinite().all().item<bool>());
}

TEST(Posterior, SampleIsTheMeanPlusTheDeviationTimesTheNoise) {
  const Posterior posterior{torch::full({1}, 3.0), torch::full({1}, 2 * std::log(5.0))};
  EXPECT_FLOAT_EQ(posterior.sample(torch::full({1}, -2.0)).item<float>(), 3 - 2 * 5);
}

TEST(Vae, WrongShapesAreRefused) {
  const AutoencoderKL vae(small_vae(), torch::kFloat32);
  EXPECT_THROW(vae.encode(torch::zeros({1, 1, 8, 8})), InvalidArgument);
  EXPECT_THROW(vae.encode(torch::zeros({1, 3, 1, 8})), InvalidArgument);
  EXPECT_THROW(vae.decode(torch::zeros({1, 3, 8, 8})), InvalidArgument);
}

TEST(VaeConfig, GoesThroughJsonUnchangedAndKeepsUnknownKeys) {
  Json json = sd_vae().to_json();
  json["shift_factor"] = 0.0609;
  json["force_upcast"] = true;
  json["my_note"] = "kept";
  EXPECT_EQ(VaeConfig::from_json(json).to_json(), json);
}

TEST(VaeConfig, UnsupportedVariantsAreRefusedByTheirKey) {
  const std::vector<std::pair<std::string, Json>> variants = {
      {"act_fn", "mish"},
      {"latents_mean", {0.1}},
      {"latents_std", {1}},
      {"down_block_types", {"AttnDownEncoderBlock2D"}},
      {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}},
      {"scaling_factor", "big"},
      {"_class_name", "AutoencoderTiny"}};
  for (const auto& [key, value] : variants) {
    try {
      VaeConfig::from_json({{key, value}});
      ADD_FAILURE() << key << " was accepted";
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find("\"" + key + "\""), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace sara
