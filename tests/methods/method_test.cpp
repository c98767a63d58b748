// SPDX-License-Identifier: Apache-2.0
#include "sara/methods/method.h"

#include <gtest/gtest.h>
#include <torch/optim/adamw.h>

#include <filesystem>

#include "sara/base/error.h"
#include "sara/methods/registry.h"
#include "sara/optim/grad_clip.h"
#include "sara/weights/applied_adapters.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

struct MethodTest : testing::TestWithParam<at::ScalarType> {
  torch::Tensor weight = torch::randn({12, 10}).mul_(0.1).to(GetParam()), bias = torch::randn({12}).mul_(0.1).to(GetParam());
  NamedTensors model = {{"unet.weight", weight}, {"unet.bias", bias}};
  torch::Tensor weight0 = weight.clone(), bias0 = bias.clone();
  std::string path = (std::filesystem::temp_directory_path() / ("sara_method_test_" + std::to_string(getpid()) + ".safetensors")).string();

  MethodOptions options() const {
    MethodOptions out;
    out.threshold(0.05).lambda_rank(1e-2);
    return out;
  }
  void backward() const { at::linear(torch::randn({6, 10}).to(GetParam()), weight, bias).pow(2).mean().backward(); }
  ~MethodTest() override { std::filesystem::remove(path); }
};

TEST_P(MethodTest, SaraLeavesFrozenWeightsBitIdenticalAndItsFileRestoresTheRest) {
  const auto method = make_method("sara", model, options(), 20);
  int64_t reselected_at = 0;
  for (int64_t t = 1; t <= 20; ++t) {
    backward();
    if (method->step(t, 5e-3).reselected) reselected_at = t;
  }
  EXPECT_EQ(reselected_at, 10);  // half of the steps
  EXPECT_TRUE(weight.masked_select(weight0.abs().ge(0.05)).equal(weight0.masked_select(weight0.abs().ge(0.05))));
  EXPECT_TRUE(weight.masked_select(weight0.abs().lt(0.05)).ne(weight0.masked_select(weight0.abs().lt(0.05))).any().item<bool>());

  method->save(path, {{"family", "sd15"}, {"steps", "20"}});
  const Adapter adapter = load_adapter(path);
  EXPECT_EQ(adapter.count(), method->trained());
  EXPECT_EQ(adapter.metadata.at("steps"), "20");
  EXPECT_EQ(adapter.metadata.at("threshold"), "0.05");
  EXPECT_EQ(adapter.metadata.at("progressive_iter"), "10");

  const torch::Tensor fresh = weight0.clone(), fresh_bias = bias0.clone();
  AppliedAdapters applied({{"unet.weight", fresh}, {"unet.bias", fresh_bias}}, "sd15");
  applied.add(adapter, 1.0);
  if (GetParam() == torch::kFloat)
    EXPECT_TRUE(fresh.allclose(weight.detach(), 0, 1e-8));  // 2 units in the last place of the larger operand
  else
    EXPECT_TRUE(fresh.equal(weight) && fresh_bias.equal(bias));
  applied.remove();
  EXPECT_TRUE(fresh.equal(weight0) && fresh_bias.equal(bias0));

  const Json summary = method->summary();
  EXPECT_EQ(summary["selected"], method->trained());
  EXPECT_EQ(summary["still_below"].get<int64_t>(), (weight.masked_select(weight0.abs().lt(0.05)).abs().lt(0.05)).sum().item<int64_t>() +
                                                       (bias.masked_select(bias0.abs().lt(0.05)).abs().lt(0.05)).sum().item<int64_t>());
}

TEST_P(MethodTest, AFileOfAveragesHoldsTheAveragesAlsoWhileTheModelHoldsTheLiveWeights) {
  MethodOptions averaging = options();
  averaging.ema_decay = 0.9;
  const auto method = make_method("sara", model, averaging, 20);
  for (int64_t t = 1; t <= 20; ++t) {
    backward();
    method->step(t, 5e-3);
  }
  method->save(path, {{"family", "sd15"}});
  const torch::Tensor live = weight.detach().clone();
  method->use_averages_();
  ASSERT_FALSE(weight.equal(live));
  const torch::Tensor fresh = weight0.clone(), fresh_bias = bias0.clone();
  AppliedAdapters({{"unet.weight", fresh}, {"unet.bias", fresh_bias}}, "sd15").add(load_adapter(path), 1.0);
  if (GetParam() == torch::kFloat)
    EXPECT_TRUE(fresh.allclose(weight.detach(), 0, 1e-8));
  else
    EXPECT_TRUE(fresh.equal(weight) && fresh_bias.equal(bias));
}

TEST_P(MethodTest, AnAdapterSavedBeforeTheFirstStepHoldsOnlyZeros) {
  const auto method = make_method("sara", model, options(), 20);
  method->save(path, {});
  for (const auto& [key, tensor] : load_adapter(path).tensors) EXPECT_EQ(tensor.data.abs().max().item<float>(), 0) << key;
}

TEST_P(MethodTest, SaraRefusesToSaveWhenAFrozenWeightHasMoved) {
  const auto method = make_method("sara", model, options(), 20);
  torch::NoGradGuard no_grad;
  weight.view(-1)[weight0.abs().to(torch::kFloat).argmax()].mul_(2);
  EXPECT_THROW(method->save(path, {}), InternalError);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_P(MethodTest, FullIsTorchsAdamWOnFp32Masters) {
  std::vector<torch::Tensor> masters = {weight0.to(torch::kFloat, false, true).requires_grad_(), bias0.to(torch::kFloat, false, true).requires_grad_()};
  torch::optim::AdamW optimizer(masters, torch::optim::AdamWOptions(1e-2));
  MethodOptions options;
  options.max_grad_norm(0.1);
  const auto method = make_method("full", model, options, 10);
  EXPECT_EQ(method->trained(), 132);
  for (int64_t t = 1; t <= 10; ++t) {
    backward();
    const double norm = global_norm({weight.grad(), bias.grad()});
    for (size_t i = 0; i < 2; ++i) masters[i].mutable_grad() = model[i].second.grad().to(torch::kFloat) * clip_factor(norm, 0.1);
    optimizer.step();
    EXPECT_NEAR(method->step(t, 1e-2).grad_norm, norm, 1e-6 * norm);
    EXPECT_FALSE(weight.grad().defined());
  }
  EXPECT_TRUE(weight.to(torch::kFloat).allclose(masters[0].to(GetParam()).to(torch::kFloat), 1e-5, 1e-6));
  method->save(path, {{"note", "x"}});
  EXPECT_TRUE(load_tensors(path).at("unet.weight").equal(weight));
}

TEST_P(MethodTest, FullSkipsAStepWithNan) {
  const auto method = make_method("full", model, MethodOptions(), 10);
  (weight.sum() * NAN).backward();
  EXPECT_TRUE(method->step(1, 1e-2).skipped);
  EXPECT_TRUE(weight.equal(weight0));
  backward();
  EXPECT_FALSE(method->step(2, 1e-2).skipped);
}

INSTANTIATE_TEST_SUITE_P(EveryDtype, MethodTest, testing::Values(torch::kFloat, torch::kBFloat16, torch::kHalf));

TEST(Registry, NamesItsMethodsAndRefusesOthers) {
  EXPECT_EQ(method_names(), (std::vector<std::string>{"sara", "full"}));
  EXPECT_THROW(make_method("lora", {}, {}, 1), InvalidArgument);
}

TEST(Registry, RefusesOptionsWithoutEffect) {
  MethodOptions options;
  options.threshold(1e-3);
  try {
    make_method("full", {{"w", torch::ones({1})}}, options, 1);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("threshold: no effect with method full"), std::string::npos);
  }
}

}  // namespace
}  // namespace sara
