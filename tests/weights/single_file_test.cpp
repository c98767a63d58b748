// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/single_file.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/weights/tensor_file.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

struct Pieces : testing::Test {
  Folder root;

  WeightFiles::Entry entry(const torch::Tensor& stored, Change change, int part = 0, int parts = 1) {
    save_tensors(root.path("x.safetensors"), {{"x", stored}});
    const auto file = std::make_shared<const SafetensorsReader>(root.path("x.safetensors"));
    files_ = std::make_unique<WeightFiles>(file, "shown", std::vector<WeightFiles::Piece>{{file->find("x"), "y", change, part, parts}});
    return files_->entries().at(0);
  }
  torch::Tensor read(const torch::Tensor& stored, Change change, int part = 0, int parts = 1) { return read_tensor(entry(stored, change, part, parts)); }

 private:
  std::unique_ptr<WeightFiles> files_;
};

TEST_F(Pieces, OfAFusedTensorAreItsBlocksOfRows) {
  const auto fused = torch::arange(12.0).view({6, 2});
  EXPECT_TRUE(read(fused, Change::same, 1, 3).equal(torch::tensor({{4.0, 5.0}, {6.0, 7.0}}).to(fused.scalar_type())));
  EXPECT_EQ(entry(fused, Change::same, 1, 3).info->name, "y");
}

TEST_F(Pieces, AreTransposedInEveryType) {
  for (const auto type : {torch::kFloat, torch::kHalf, torch::kDouble}) {
    const auto stored = torch::arange(6).view({2, 3}).to(type);
    EXPECT_TRUE(read(stored, Change::transposed).equal(stored.t()));
  }
}

TEST_F(Pieces, HaveTheirHalvesExchanged) {
  const auto stored = torch::arange(8.0, torch::kFloat).view({4, 2});
  EXPECT_TRUE(read(stored, Change::swapped_halves).equal(torch::cat({stored.narrow(0, 2, 2), stored.narrow(0, 0, 2)})));
}

TEST_F(Pieces, OfAOneByOneConvolutionAreMatrices) {
  const auto stored = torch::arange(6.0, torch::kFloat).view({2, 3, 1, 1});
  EXPECT_TRUE(read(stored, Change::pointwise).equal(stored.view({2, 3})));
  EXPECT_TRUE(read(stored.view({2, 3}), Change::pointwise).equal(stored.view({2, 3})));
}

TEST_F(Pieces, ThatAreNotStoredAreUnitMatrices) {
  for (const auto type : {torch::kFloat, torch::kHalf, torch::kBFloat16})
    EXPECT_TRUE(read(torch::zeros({5, 3}, type), Change::identity).equal(torch::eye(3).to(type)));
}

TEST_F(Pieces, OfAnotherShapeAreRefused) {
  const auto refusal = [&](const torch::Tensor& stored, Change change, int parts) { return thrown<BadFile>([&] { entry(stored, change, 0, parts); }); };
  EXPECT_NE(refusal(torch::zeros({4, 2}), Change::same, 3).find("3 equal blocks of rows"), std::string::npos);
  EXPECT_NE(refusal(torch::zeros({3}), Change::swapped_halves, 1).find("two halves"), std::string::npos);
  EXPECT_NE(refusal(torch::zeros({3}), Change::transposed, 1).find("a matrix"), std::string::npos);
  EXPECT_NE(refusal(torch::zeros({2, 2, 3, 3}), Change::pointwise, 1).find("1x1"), std::string::npos);
}

TEST(KeptFiles, ComeBackByteForByte) {
  const std::map<std::string, std::string> files = {{"unet/config.json", "{\"a\": 1}\n"}, {"tokenizer/spiece.model", std::string("\xff\x00\x10", 3)}, {"model_index.json", ""}};
  EXPECT_EQ(unpacked_files(packed_files(files), "x"), files);
}

TEST(KeptFiles, MayNotLeaveTheirFolder) {
  for (const char* path : {"../a", "a/../b", "/a", "a//b", "a/b/c", ".a", "a/.b", "a\\b", "", "a/"})
    EXPECT_NE(thrown<BadFile>([&] { unpacked_files(Json{{path, "x"}}.dump(), "file"); }).find("malformed"), std::string::npos) << path;
  EXPECT_THROW(unpacked_files("[1]", "file"), BadFile);
  EXPECT_THROW(unpacked_files(R"({"a": 1})", "file"), BadFile);
  EXPECT_THROW(unpacked_files(R"({"a": {"hex": "0g"}})", "file"), BadFile);
}

struct Layouts : testing::Test {
  Folder root;
  std::string file(const TensorMap& tensors) const {
    save_tensors(root.path("x.safetensors"), tensors);
    return root.path("x.safetensors");
  }
  std::string family(const TensorMap& tensors) const { return detected_layout(SafetensorsReader(file(tensors))).family; }
};

const std::string kInput = "model.diffusion_model.input_blocks.0.0.weight";

TEST_F(Layouts, AreDetectedByKeysAndShapes) {
  const auto input = torch::zeros({8, 4, 3, 3});
  const auto one = torch::zeros({1});
  EXPECT_EQ(family({{kInput, input}, {"cond_stage_model.transformer.text_model.final_layer_norm.bias", one}}), "sd1");
  EXPECT_EQ(family({{kInput, input}, {"cond_stage_model.model.ln_final.bias", one}}), "sd2");
  EXPECT_EQ(family({{kInput, input}, {"model.diffusion_model.input_blocks.1.1.proj_in.weight", torch::zeros({2, 2})}}), "sd2");
  EXPECT_EQ(family({{kInput, input}, {"model.diffusion_model.input_blocks.1.1.proj_in.weight", torch::zeros({2, 2, 1, 1})}}), "sd1");
  EXPECT_EQ(family({{kInput, input}, {"conditioner.embedders.1.model.ln_final.bias", one}}), "sdxl");
  EXPECT_EQ(family({{"joint_blocks.0.x_block.attn.proj.bias", one}}), "sd3");
  EXPECT_EQ(family({{"model.diffusion_model.joint_blocks.0.x_block.attn.proj.bias", one}}), "sd3");
  EXPECT_EQ(family({{"down_blocks.0.motion_modules.0.temporal_transformer.norm.bias", one}}), "animatediff");
}

TEST_F(Layouts, OfOtherModelsAreRefusedByName) {
  EXPECT_NE(thrown<BadFile>([&] { family({{kInput, torch::zeros({8, 9, 3, 3})}}); }).find("inpainting"), std::string::npos);
  EXPECT_NE(thrown<BadFile>([&] { family({{"some.other.weight", torch::zeros({1})}}); }).find("some.other.weight"), std::string::npos);
  EXPECT_FALSE(is_model_path(file({{"unet.conv_in.weight.gaps", torch::zeros({1})}})));
  EXPECT_TRUE(is_model_path(file({{kInput, torch::zeros({8, 4, 3, 3})}})));
  EXPECT_TRUE(is_model_path(root.path("")));
  EXPECT_FALSE(is_model_path(root.path("nothing")));
}

}  // namespace
}  // namespace sara
