// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/model_folder.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <functional>

#include "sara/base/error.h"
#include "sara/models/initialize.h"
#include "sara/weights/tensor_file.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

const Json kUNet{{"_class_name", "UNet2DConditionModel"}, {"sample_size", 4}, {"block_out_channels", {16, 32}}, {"layers_per_block", 1},
                 {"down_block_types", {"CrossAttnDownBlock2D", "DownBlock2D"}}, {"up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D"}},
                 {"attention_head_dim", 4}, {"cross_attention_dim", 12}, {"norm_num_groups", 8}};
const Json kVae{{"_class_name", "AutoencoderKL"}, {"block_out_channels", {8, 8}}, {"down_block_types", {"DownEncoderBlock2D", "DownEncoderBlock2D"}},
                {"up_block_types", {"UpDecoderBlock2D", "UpDecoderBlock2D"}}, {"norm_num_groups", 4}, {"latent_channels", 4}};
const Json kIndex{{"_class_name", "StableDiffusionPipeline"}, {"unet", {"diffusers", "UNet2DConditionModel"}}, {"vae", {"diffusers", "AutoencoderKL"}},
                  {"text_encoder", {"transformers", "CLIPTextModel"}}, {"tokenizer", {"transformers", "CLIPTokenizer"}}, {"scheduler", {"diffusers", "DDIMScheduler"}}};

struct Model : testing::Test {
  Folder root;
  Model() {
    for (const char* part : {"unet", "vae", "text_encoder", "tokenizer", "scheduler"}) fs::create_directories(root.path(std::string("m/") + part));
    write_json(root.path("m/model_index.json"), kIndex);
    write_json(root.path("m/unet/config.json"), kUNet);
    write_json(root.path("m/vae/config.json"), kVae);
  }
  ModelFolder open() const { return ModelFolder(root.path("m")); }
  void expect_refusal(const std::string& phrase, const std::function<void(const ModelFolder&)>& use = [](const ModelFolder&) {}) const {
    const auto text = thrown<BadFile>([&] { use(open()); });
    EXPECT_NE(text.find(phrase), std::string::npos) << text;
  }
  void index(const std::string& key, const Json& value) const {
    auto changed = kIndex;
    changed[key] = value;
    write_json(root.path("m/model_index.json"), changed);
  }
};

TEST_F(Model, KnowsItsNameFamilyAndResolution) {
  EXPECT_EQ(open().family(), "sd1");
  EXPECT_EQ(open().resolution(), 8);
  EXPECT_EQ(open().name(), "m");
  EXPECT_EQ(ModelFolder(root.path("m") + "/").name(), "m");
  auto second = kUNet;
  second["use_linear_projection"] = true;
  write_json(root.path("m/unet/config.json"), second);
  EXPECT_EQ(open().family(), "sd2");
}

TEST_F(Model, OfClipsNeedsMotionModulesThatFitItsUNet) {
  index("_class_name", "AnimateDiffPipeline");
  expect_refusal("component motion_adapter is absent, and the UNet has no motion modules. Fix: add --motion-adapter");
  const Json config{{"_class_name", "MotionAdapter"}, {"block_out_channels", {16, 32}}, {"motion_layers_per_block", 1}, {"motion_norm_num_groups", 8}, {"motion_num_attention_heads", 4}};
  fs::create_directories(root.path("mm"));
  write_json(root.path("mm/config.json"), config);
  save_tensors(root.path("mm/diffusion_pytorch_model.safetensors"), {{"x", torch::zeros({1})}});
  ModelReading beside;
  beside.motion_adapter = root.path("mm");
  const ModelFolder model(root.path("m"), beside);
  EXPECT_EQ(model.family(), "animatediff");
  EXPECT_TRUE(model.read_config<UNetConfig>("unet").motion);
  auto other = config;
  other["block_out_channels"] = {16, 48};
  write_json(root.path("mm/config.json"), other);
  EXPECT_NE(thrown<BadFile>([&] { ModelFolder(root.path("m"), beside).read_config<UNetConfig>("unet"); }).find("the motion modules do not fit the UNet: channels of the blocks"), std::string::npos);
  auto second = kUNet;
  second["use_linear_projection"] = true;
  write_json(root.path("m/unet/config.json"), second);
  write_json(root.path("m/model_index.json"), kIndex);
  EXPECT_NE(thrown<InvalidArgument>([&] { ModelFolder(root.path("m"), beside); }).find("a model of family sd2 takes none"), std::string::npos);
}

TEST_F(Model, WithoutASampleSizeAsksForAResolution) {
  auto plain = kUNet;
  plain.erase("sample_size");
  write_json(root.path("m/unet/config.json"), plain);
  EXPECT_NE(thrown<InvalidArgument>([&] { open().resolution(); }).find("--resolution"), std::string::npos);
}

TEST_F(Model, IsAFolderWithAnIndex) {
  const auto refusal = [](const std::string& path) {
    return thrown<BadFile>([&] { ModelFolder folder(path); });
  };
  EXPECT_NE(refusal(root.path("none")).find("no such model"), std::string::npos);
  EXPECT_NE(refusal(root.path(std::string(300, 'x'))).find("no such model"), std::string::npos);
  EXPECT_NE(refusal(root.text("file", "")).find("is no safetensors file"), std::string::npos);
  EXPECT_NE(refusal(root.path("m/unet")).find("no model_index.json"), std::string::npos);
}

TEST_F(Model, OfAnotherPipelineIsRefused) {
  index("_class_name", "StableCascadePipeline");
  expect_refusal("unsupported pipeline (expected one of StableDiffusionPipeline, StableDiffusionXLPipeline, StableDiffusion3Pipeline, AnimateDiffPipeline, got \"StableCascadePipeline\")");
  write_file(root.path("m/model_index.json"), "[]");
  expect_refusal("is not a JSON object");
  write_file(root.path("m/model_index.json"), "{");
  expect_refusal("model_index.json");
}

TEST_F(Model, NeedsEveryComponentOfItsClass) {
  index("vae", nullptr);
  expect_refusal("component vae is absent");
  index("vae", {"diffusers", nullptr});
  expect_refusal("component vae is absent");
  index("unet", {"diffusers", "UNet3DConditionModel"});
  expect_refusal("component unet has another class (expected UNet2DConditionModel, got UNet3DConditionModel)");
  index("tokenizer", {"transformers", "CLIPTokenizerFast"});
  EXPECT_NO_THROW(open());
  fs::remove(root.path("m/scheduler"));
  expect_refusal("no such component folder");
}

TEST_F(Model, AConfigThatIsMissingOrWrongIsNamed) {
  const auto load = [](const ModelFolder& folder) { folder.load_unet(torch::kFloat); };
  auto bad = kUNet;
  bad["norm_num_groups"] = "eight";
  write_json(root.path("m/unet/config.json"), bad);
  expect_refusal("unet/config.json", load);
  expect_refusal("norm_num_groups", load);
  write_file(root.path("m/unet/config.json"), "[1]");
  expect_refusal("is not a JSON object", load);
  expect_refusal("is not a JSON object", [](const ModelFolder& folder) { folder.family(); });
  fs::remove(root.path("m/unet/config.json"));
  expect_refusal("unet/config.json: is missing", load);
}

TEST_F(Model, LoadsItsWeightsReadyToUse) {
  expect_refusal("no weights found", [](const ModelFolder& folder) { folder.load_unet(torch::kFloat); });
  UNet2DConditionModel made(UNetConfig::from_json(kUNet), torch::dtype(torch::kFloat));
  initialize_(made, 3);
  TensorMap tensors;
  for (const auto& item : made.named_parameters()) tensors[item.key()] = item.value().detach();
  const auto path = root.path("m/unet/diffusion_pytorch_model.safetensors");
  save_tensors(path, tensors);
  const auto unet = open().load_unet(torch::kFloat);
  EXPECT_FALSE(unet->is_training());
  for (const auto& item : unet->named_parameters()) EXPECT_TRUE(item.value().equal(tensors.at(item.key()))) << item.key();
  EXPECT_EQ(open().load_unet(torch::kBFloat16)->parameters().front().scalar_type(), torch::kBFloat16);

  const auto hash = open().component_hash("unet");
  EXPECT_EQ(hash, open().component_hash("unet"));
  tensors.at("conv_in.bias")[0] = 5;
  save_tensors(path, tensors);
  EXPECT_NE(open().component_hash("unet"), hash);

  tensors.at("conv_in.bias")[0] = std::nan("");
  save_tensors(path, tensors);
  expect_refusal("NaN", [](const ModelFolder& folder) { folder.load_unet(torch::kFloat); });
  auto folder = open();
  folder.allow_nonfinite();
  EXPECT_NO_THROW(folder.load_unet(torch::kFloat));
}

}  // namespace
}  // namespace sara
