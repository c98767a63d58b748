// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/key_map.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <set>

#include "sara/base/error.h"
#include "sara/models/clip_text.h"
#include "sara/models/config.h"
#include "sara/models/unet.h"
#include "sara/models/vae.h"
#include "sara/weights/key_maps.h"

namespace sara {
namespace {

const torch::TensorOptions kNoMemory = torch::TensorOptions().device(torch::kMeta);

const KeyTable kInner{{{"a", "x"}, {"q.weight", "qk", Change::same, 0, 2}, {"k.weight", "qk", Change::same, 1, 2}}};
const KeyTable kTable{{{"first", "0"}, {"net.{b}.{l}", "flat.{out}"}, nested("deep", "below", kInner), copied("first", "9")}};

TEST(KeyMap, PlacesStandForOneRowEach) {
  const KeyMap map(kTable, {2, 3});
  EXPECT_EQ(map.in_file("net.1.2.weight").at(0).name, "flat.5.weight");
  EXPECT_EQ(map.in_model("flat.3.bias").at(0).model_name, "net.1.0.bias");
  EXPECT_TRUE(map.in_file("net.2.0.weight").empty());
  EXPECT_TRUE(map.in_model("flat.6.weight").empty());
}

TEST(KeyMap, APathIsNotAPrefixOfLetters) {
  const KeyMap map(kTable, {1, 1});
  EXPECT_TRUE(map.in_file("firstly").empty());
  EXPECT_EQ(map.in_file("first").at(0).name, "0");
}

TEST(KeyMap, FusedTensorsHoldTheirPartsInOrder) {
  const KeyMap map(kTable, {1, 1});
  const auto held = map.in_model("below.qk");
  ASSERT_EQ(held.size(), 2u);
  EXPECT_EQ(held[0].model_name, "deep.q.weight");
  EXPECT_EQ(held[1].part, 1);
  const auto place = map.in_file("deep.k.weight").at(0);
  EXPECT_EQ(place.name, "below.qk");
  EXPECT_EQ(place.part, 1);
  EXPECT_EQ(place.parts, 2);
}

TEST(KeyMap, ACopyIsWrittenTwiceAndReadOnce) {
  const KeyMap map(kTable, {1, 1});
  EXPECT_EQ(map.in_file("first.pe").size(), 2u);
  EXPECT_FALSE(map.in_model("0.pe").at(0).again);
  EXPECT_TRUE(map.in_model("9.pe").at(0).again);
}

TEST(KeyMap, TheTableOfAnIdentityKeepsEveryName) {
  const KeyMap map(same_keys(), {});
  EXPECT_EQ(map.in_file("a.b.c").at(0).name, "a.b.c");
  EXPECT_EQ(map.in_model("a").at(0).model_name, "a");
}

// Every parameter has one place, every place leads back, and nothing is shared but fused tensors.
void expect_bijection(const torch::nn::Module& network, const KeyMap& map, size_t tensors_in_file) {
  std::set<std::string> names;
  for (const auto& item : network.named_parameters()) {
    const auto places = map.in_file(item.key());
    ASSERT_EQ(places.size(), 1u) << item.key();
    names.insert(places[0].name);
    const auto held = map.in_model(places[0].name);
    ASSERT_EQ(held.size(), static_cast<size_t>(places[0].parts)) << places[0].name;
    EXPECT_EQ(held[static_cast<size_t>(places[0].part)].model_name, item.key());
  }
  EXPECT_EQ(names.size(), tensors_in_file);
}

TEST(KeyMaps, OfStableDiffusionsUNetHoldEveryParameter) {
  const KeyMap map = key_map(unet_keys(), sd15().to_json());
  expect_bijection(UNet2DConditionModel(sd15(), kNoMemory), map, 686);
  const auto file_name = [&](const std::string& name) { return map.in_file(name).at(0).name; };
  EXPECT_EQ(file_name("down_blocks.0.attentions.1.proj_in.weight"), "input_blocks.2.1.proj_in.weight");
  EXPECT_EQ(file_name("down_blocks.3.resnets.1.conv1.weight"), "input_blocks.11.0.in_layers.2.weight");
  EXPECT_EQ(file_name("down_blocks.2.downsamplers.0.conv.bias"), "input_blocks.9.0.op.bias");
  EXPECT_EQ(file_name("mid_block.resnets.1.time_emb_proj.weight"), "middle_block.2.emb_layers.1.weight");
  EXPECT_EQ(file_name("up_blocks.0.upsamplers.0.conv.weight"), "output_blocks.2.1.conv.weight");
  EXPECT_EQ(file_name("up_blocks.1.upsamplers.0.conv.weight"), "output_blocks.5.2.conv.weight");
  EXPECT_EQ(file_name("up_blocks.3.resnets.2.conv_shortcut.weight"), "output_blocks.11.0.skip_connection.weight");
}

TEST(KeyMaps, OfTheAutoencoderHoldEveryParameter) {
  const KeyMap map = key_map(vae_keys(), sd_vae().to_json());
  expect_bijection(AutoencoderKL(sd_vae(), kNoMemory), map, 248);
  EXPECT_EQ(map.in_file("decoder.up_blocks.0.resnets.2.conv1.weight").at(0).name, "decoder.up.3.block.2.conv1.weight");
  EXPECT_EQ(map.in_file("decoder.mid_block.attentions.0.to_out.0.weight").at(0).change, Change::pointwise);
}

TEST(KeyMaps, OfOpenClipHoldEveryParameter) {
  const KeyMap map = key_map(open_clip_keys(), open_clip_h().to_json());
  expect_bijection(ClipTextModel(open_clip_h(), kNoMemory), map, 23 * 12 + 4);  // 16 tensors a layer, of which 6 are fused into 2
  EXPECT_EQ(map.in_file("text_model.encoder.layers.22.self_attn.v_proj.bias").at(0).name, "transformer.resblocks.22.attn.in_proj_bias");
  EXPECT_EQ(map.in_file("text_projection.weight").at(0).change, Change::transposed);
  EXPECT_TRUE(map.in_model("transformer.resblocks.23.ln_1.weight").empty());
}

TEST(KeyMaps, OfSd3SwapTheHalvesOfTheLastTextNormAlone) {
  const KeyMap map = key_map(mmdit_keys(), {{"num_layers", 24}});
  EXPECT_EQ(map.in_file("transformer_blocks.22.norm1_context.linear.weight").at(0).change, Change::same);
  EXPECT_EQ(map.in_file("transformer_blocks.23.norm1_context.linear.weight").at(0).change, Change::swapped_halves);
  EXPECT_EQ(map.in_file("norm_out.linear.bias").at(0).name, "final_layer.adaLN_modulation.1.bias");
  EXPECT_EQ(map.in_model("joint_blocks.0.context_block.attn.qkv.bias").at(2).model_name, "transformer_blocks.0.attn.add_v_proj.bias");
}

TEST(KeyMaps, RefuseBlocksOfDifferentDepth) {
  auto config = sd15().to_json();
  config["layers_per_block"] = {2, 2, 1, 2};
  EXPECT_THROW(key_map(unet_keys(), config), InvalidArgument);
}

}  // namespace
}  // namespace sara
