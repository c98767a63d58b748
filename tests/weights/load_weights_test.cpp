// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/load_weights.h"

#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/weights/tensor_file.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

// A module whose parameters have these names and shapes; a dot makes a child module.
struct Named : torch::nn::Module {
  Named(const std::map<std::string, std::vector<int64_t>>& shapes, c10::ScalarType dtype = torch::kFloat) {
    for (const auto& [path, shape] : shapes) {
      torch::nn::Module* at = this;
      std::string rest = path;
      for (auto dot = rest.find('.'); dot != std::string::npos; dot = rest.find('.')) {
        const auto part = rest.substr(0, dot);
        rest = rest.substr(dot + 1);
        const auto children = at->named_children();
        at = (children.contains(part) ? children[part] : at->register_module(part, std::make_shared<torch::nn::Module>())).get();
      }
      at->register_parameter(rest, torch::full(shape, 9, dtype));
    }
  }
  torch::Tensor at(const std::string& name) const { return named_parameters()[name].detach(); }
};

struct LoadWeights : testing::Test {
  Folder folder;
  void store(const TensorMap& tensors) { save_tensors(folder.path("model.safetensors"), tensors); }
  void load(Named& module, bool allow_nonfinite = false) { load_weights_(module, WeightFiles(folder.path()), allow_nonfinite); }
  std::string refusal(Named& module) {
    return thrown<BadFile>([&] { load(module); });
  }
  void expect(const std::string& text, const std::string& phrase) { EXPECT_NE(text.find(phrase), std::string::npos) << text; }
};

TEST_F(LoadWeights, FillsEveryParameter) {
  Named module({{"a.w", {2, 3}}, {"b", {4}}});
  const TensorMap stored{{"a.w", torch::randn({2, 3})}, {"b", torch::randn({4})}};
  store(stored);
  load(module);
  for (const auto& [name, tensor] : stored) EXPECT_TRUE(module.at(name).equal(tensor)) << name;
}

TEST_F(LoadWeights, HalfPrecisionEntersFp32ModulesExactlyAndFp32IsRoundedOnceIntoBf16) {
  const auto half = torch::randn({50}).to(torch::kHalf);
  const auto full = torch::randn({50});
  Named wide({{"w", {50}}});
  store({{"w", half}});
  load(wide);
  EXPECT_TRUE(wide.at("w").equal(half.to(torch::kFloat)));
  Named narrow({{"w", {50}}}, torch::kBFloat16);
  store({{"w", full}});
  load(narrow);
  EXPECT_TRUE(narrow.at("w").equal(full.to(torch::kBFloat16)));
}

TEST_F(LoadWeights, NamesWhatIsMissingUnknownAndMisshapenTogether) {
  Named module({{"first.weight", {2}}, {"second.weight", {2}}, {"third.weight", {2}}});
  store({{"first.weigth", torch::zeros({2})}, {"second.weight", torch::zeros({3})}, {"third.weight", torch::zeros({2})}});
  const auto text = refusal(module);
  expect(text, "1 missing: first.weight;");
  expect(text, "1 unknown: first.weigth (nearest: first.weight)");
  expect(text, "1 wrongly shaped: second.weight (expected [2], got [3])");
}

TEST_F(LoadWeights, ShowsFiveOfManyAndTheirNumber) {
  std::map<std::string, std::vector<int64_t>> shapes;
  for (int i = 0; i < 8; ++i) shapes["w" + std::to_string(i)] = {1};
  Named module(shapes);
  store({{"w0", torch::zeros({1})}});
  expect(refusal(module), "7 missing: w1, w2, w3, w4, w5, and 2 more");
}

TEST_F(LoadWeights, IntegersAreNoWeights) {
  Named module({{"w", {2}}});
  store({{"w", torch::zeros({2}, torch::kLong)}});
  expect(refusal(module), "1 wrongly typed: w (expected a floating-point type, got I64)");
}

TEST_F(LoadWeights, TextEncodersComeWithAndWithoutTheirPrefix) {
  const auto weight = torch::randn({3});
  const auto ids = torch::arange(5).unsqueeze(0);
  Named with({{"text_model.embeddings.w", {3}}}), without({{"embeddings.w", {3}}});
  store({{"embeddings.w", weight}, {"embeddings.position_ids", ids}});
  load(with);
  load(without);
  EXPECT_TRUE(with.at("text_model.embeddings.w").equal(weight));
  EXPECT_TRUE(without.at("embeddings.w").equal(weight));
  Named again({{"embeddings.w", {3}}});
  store({{"text_model.embeddings.w", weight}, {"text_model.embeddings.position_ids", ids}});
  load(again);
  EXPECT_TRUE(again.at("embeddings.w").equal(weight));
}

TEST_F(LoadWeights, EarlyNamesOfAVaesAttentionAreUnderstoodAsLinearAndAsConvolution) {
  const std::map<std::string, std::string> names{{"query", "to_q"}, {"key", "to_k"}, {"value", "to_v"}, {"proj_attn", "to_out.0"}};
  for (const auto& shape : {std::vector<int64_t>{3, 3}, {3, 3, 1, 1}}) {
    std::map<std::string, std::vector<int64_t>> wanted;
    TensorMap stored;
    for (const auto& [early, current] : names) {
      wanted["mid.attentions.0." + current + ".weight"] = {3, 3};
      wanted["mid.attentions.0." + current + ".bias"] = {3};
      stored["mid.attentions.0." + early + ".weight"] = torch::randn(shape);
      stored["mid.attentions.0." + early + ".bias"] = torch::randn({3});
    }
    Named module(wanted);
    store(stored);
    load(module);
    for (const auto& [early, current] : names) {
      EXPECT_TRUE(module.at("mid.attentions.0." + current + ".weight").equal(stored.at("mid.attentions.0." + early + ".weight").view({3, 3}))) << early;
      EXPECT_TRUE(module.at("mid.attentions.0." + current + ".bias").equal(stored.at("mid.attentions.0." + early + ".bias"))) << early;
    }
  }
}

TEST_F(LoadWeights, OneParameterUnderTwoNamesIsRefused) {
  Named module({{"a.to_q.weight", {2, 2}}});
  store({{"a.to_q.weight", torch::zeros({2, 2})}, {"a.query.weight", torch::zeros({2, 2})}});
  expect(refusal(module), "appears twice");
}

TEST_F(LoadWeights, NaNAndInfStopUnlessAllowed) {
  auto weight = torch::ones({4});
  weight[1] = std::numeric_limits<float>::quiet_NaN();
  weight[3] = -std::numeric_limits<float>::infinity();
  Named module({{"w", {4}}});
  store({{"w", weight}});
  expect(refusal(module), "tensor w holds 2 NaN or Inf values");
  load(module, /*allow_nonfinite=*/true);
  EXPECT_EQ(module.at("w").isfinite().sum().item<int64_t>(), 2);
}

}  // namespace
}  // namespace sara
