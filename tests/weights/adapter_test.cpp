// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/adapter.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/sparse/gather_scatter.h"
#include "sara/weights/applied_adapters.h"
#include "sara/weights/rounding.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

Learned learned(const torch::Tensor& base, const torch::Tensor& tuned_values, const torch::Tensor& indices) {
  const torch::Tensor weight = base.clone();
  scatter_(weight, indices, tuned_values);
  return {"unet.w", weight, indices, tuned_values, gather(base, indices)};
}

Adapter adapter_of(const Learned& item, const torch::Tensor& base, bool as_values = false, at::ScalarType dtype = torch::kFloat) {
  return make_adapter({item}, {{"unet.w", tensor_hash(base)}}, as_values, dtype);
}

struct AdapterTest : testing::TestWithParam<at::ScalarType> {
  torch::Tensor base = torch::randn({40, 50}).mul_(1e-2).to(GetParam());
  torch::Tensor indices = torch::rand({2000}).lt(0.3).nonzero().view(-1).to(torch::kInt);
  torch::Tensor more = torch::rand({2000}).lt(0.3).nonzero().view(-1).to(torch::kInt);
  Learned first = learned(base, gather(base, indices) + torch::randn({indices.numel()}).mul_(1e-3), indices);
  Learned second = learned(base, gather(base, more) + torch::randn({more.numel()}).mul_(1e-3), more);
  torch::Tensor model = base.clone();
  AppliedAdapters applied{{{"unet.w", model}}, "sd15"};
};

TEST_P(AdapterTest, ScaleZeroAndRemovalGiveTheBaseBackBitForBit) {
  model.view(-1)[indices[0].item<int64_t>()] = -0.0;  // even the sign of a zero
  const torch::Tensor before = model.clone();
  AppliedAdapters own({{"unet.w", model}}, "sd15");
  const size_t number = own.add(adapter_of(first, base), 1.5, /*force=*/true);
  EXPECT_FALSE(model.equal(before));
  const auto bits = [](const torch::Tensor& t) { return tensor_hash(t); };
  own.set_scale(number, 0);
  EXPECT_EQ(bits(model), bits(before));
  own.set_scale(number, -2);
  own.add(adapter_of(second, base), 0.7, true);
  own.remove();
  EXPECT_EQ(bits(model), bits(before));
}

TEST_P(AdapterTest, ValuesRestoreTheTrainedWeightsBitForBit) {
  applied.add(adapter_of(first, base, /*as_values=*/true), 1);
  EXPECT_TRUE(model.equal(first.weight));
}

TEST_P(AdapterTest, DeltasRestoreHalfPrecisionExactlyAndFp32ToOneRounding) {
  applied.add(adapter_of(first, base), 1);
  if (GetParam() != torch::kFloat) {
    EXPECT_TRUE(model.equal(first.weight));
    return;
  }
  const torch::Tensor error = (model.to(torch::kDouble) - first.weight.to(torch::kDouble)).abs();
  EXPECT_LE((error / (1.2e-7 * torch::maximum(base.abs(), first.weight.abs()))).max().item<double>(), 2.0);
}

TEST(AdapterDelta, RestoresAHalfPrecisionWeightThatTheRoundedDifferenceWouldMiss) {
  for (const auto& [dtype, middle] : {std::pair{torch::kBFloat16, 1 + 0x1p-8f}, {torch::kHalf, 1 + 0x1p-11f}}) {
    const torch::Tensor base = torch::full({1}, 0x1p-24f).to(dtype), value = torch::full({1}, middle);
    const Learned item = learned(base, value, torch::zeros({1}, torch::kInt));
    ASSERT_EQ(item.weight.item<float>(), 1.0f);  // half-way goes to even
    const double plain = static_cast<double>(middle - 0x1p-24f) + 0x1p-24;  // fp32 rounds the difference up
    ASSERT_GT(plain, static_cast<double>(middle));
    const torch::Tensor model = base.clone();
    AppliedAdapters applied({{"unet.w", model}}, "sd15");
    applied.add(adapter_of(item, base), 1);
    EXPECT_EQ(model.item<float>(), 1.0f);
  }
}

TEST_P(AdapterTest, WeightsAreTheBasePlusTheScaledSumRoundedOnce) {
  const Adapter a = adapter_of(first, base), b = adapter_of(second, base);
  applied.add(a, 0.6);
  applied.add(b, -1.7);
  torch::Tensor expected = base.to(torch::kDouble).view(-1).clone();
  torch::Tensor change = torch::zeros_like(expected);
  change.index_add_(0, indices, a.tensors.at("unet.w").data.to(torch::kDouble), 0.6);
  change.index_add_(0, more, b.tensors.at("unet.w").data.to(torch::kDouble), -1.7);
  EXPECT_TRUE(model.view(-1).equal(rounded_once(expected + change, GetParam())));

  const torch::Tensor other = base.clone();  // the order does not matter
  AppliedAdapters reversed({{"unet.w", other}}, "sd15");
  reversed.add(b, -1.7);
  reversed.add(a, 0.6);
  EXPECT_TRUE(other.equal(model));
}

TEST_P(AdapterTest, BadRequestsLeaveTheModelUntouched) {
  Adapter good = adapter_of(first, base);
  good.metadata["family"] = "sd15";
  applied.add(good, 0.5);
  const torch::Tensor before = model.clone();
  EXPECT_THROW(applied.add(good, NAN), InvalidArgument);
  EXPECT_THROW(applied.set_scale(0, INFINITY), InvalidArgument);
  EXPECT_THROW(applied.add(good, 1e300), InvalidArgument);  // overflow
  Adapter family = good, key = good, far = good, hash = good;
  family.metadata["family"] = "sdxl";
  EXPECT_THROW(applied.add(family, 1), BadFile);
  hash.metadata["base_hash"] = R"({"unet.w": "00"})";
  EXPECT_THROW(applied.add(hash, 1), BadFile);
  hash.metadata["base_hash"] = R"([])";
  EXPECT_THROW(applied.add(hash, 1), BadFile);
  key.tensors["unet.v"] = key.tensors["unet.w"];
  EXPECT_THROW(applied.add(key, 1, /*force=*/true), BadFile);
  far.tensors["unet.w"] = {torch::tensor({2000}, torch::kInt), torch::ones({1}), false};
  EXPECT_THROW(applied.add(far, 1, /*force=*/true), BadFile);
  EXPECT_TRUE(model.equal(before));
  applied.add(family, 0.5, /*force=*/true);
  EXPECT_FALSE(model.equal(before));
}

TEST_P(AdapterTest, ASecondAdapterIsCheckedAgainstTheBaseNotTheChangedModel) {
  applied.add(adapter_of(first, base), 1);
  EXPECT_NO_THROW(applied.add(adapter_of(second, base), 1));
}

INSTANTIATE_TEST_SUITE_P(EveryDtype, AdapterTest, testing::Values(torch::kFloat, torch::kBFloat16, torch::kHalf));

struct AdapterFile : testing::Test {
  std::string path = (std::filesystem::temp_directory_path() / ("sara_adapter_test_" + std::to_string(getpid()) + ".safetensors")).string();
  ~AdapterFile() override { std::filesystem::remove(path); }

  std::string refusal(const TensorMap& tensors, std::map<std::string, std::string> metadata = {{"format", "sara-adapter"}, {"version", "1"}}) const {
    save_tensors(path, tensors, metadata);
    try {
      load_adapter(path);
    } catch (const BadFile& error) {
      return error.reason();
    }
    return "accepted";
  }
};

TEST_F(AdapterFile, RoundTripsEveryTypeAndForm) {
  const torch::Tensor base = torch::randn({30, 30}), indices = torch::arange(0, 900, 7, torch::kInt);
  const Learned item = learned(base, gather(base, indices) + 0.25f, indices);
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf})
    for (const bool as_values : {false, true}) {
      Adapter adapter = adapter_of(item, base, as_values, dtype);
      adapter.metadata["seed"] = "3";
      save_adapter(path, adapter);
      const Adapter back = load_adapter(path);
      ASSERT_EQ(back.tensors.size(), 1u);
      EXPECT_TRUE(back.tensors.at("unet.w").indices.equal(indices));
      EXPECT_EQ(back.tensors.at("unet.w").is_value, as_values);
      EXPECT_TRUE(back.tensors.at("unet.w").data.equal(adapter.tensors.at("unet.w").data));
      EXPECT_EQ(back.metadata.at("seed"), "3");
      EXPECT_EQ(base_hashes_of(back).at("unet.w"), tensor_hash(base));
    }
}

TEST_F(AdapterFile, StaysWithinThreeBytesAWeightAtTwoPercentInBf16) {
  const torch::Tensor base = torch::randn({1000, 1000}), indices = torch::rand({1000000}).lt(0.02).nonzero().view(-1).to(torch::kInt);
  const Learned item = learned(base, gather(base, indices), indices);
  save_adapter(path, adapter_of(item, base, false, torch::kBFloat16));
  EXPECT_LT(static_cast<double>(std::filesystem::file_size(path)), 3.1 * static_cast<double>(indices.numel()));
}

TEST_F(AdapterFile, RefusesDefectsByName) {
  const torch::Tensor gaps = torch::tensor({0, 4}, torch::kByte), delta = torch::ones({2});
  EXPECT_EQ(refusal({{"w.gaps", gaps}, {"w.delta", delta}}), "accepted");
  EXPECT_NE(refusal({{"w.gaps", gaps}, {"w.delta", delta}}, {{"format", "pt"}}).find("not a sara adapter (expected format sara-adapter, got pt)"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", gaps}, {"w.delta", delta}}, {{"format", "sara-adapter"}, {"version", "2"}}).find("unknown adapter version"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", gaps}}).find("w: neither of .delta and .value"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", gaps}, {"w.delta", delta}, {"w.value", delta}}).find("w: both of .delta and .value"), std::string::npos);
  EXPECT_NE(refusal({{"w.delta", delta}}).find("w.delta: has no place"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", gaps}, {"w.delta", delta}, {"w.extra", delta}}).find("w.extra: has no place"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", gaps}, {"w.delta", torch::ones({3})}}).find("fewer indices than values"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", gaps}, {"w.delta", torch::ones({1})}}).find("more indices than values"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", torch::tensor({0, 255}, torch::kByte)}, {"w.delta", delta}}).find("the last gap has no end"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", gaps}, {"w.delta", torch::tensor({1.0f, NAN})}}).find("w.delta: 1 of 2 numbers are NaN or infinite"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", gaps}, {"w.delta", torch::ones({2}, torch::kInt)}}).find("wrong type (expected F32, BF16 or F16, got I32)"), std::string::npos);
  EXPECT_NE(refusal({{"w.gaps", gaps.view({2, 1})}, {"w.delta", delta}}).find("one-dimensional"), std::string::npos);
}

TEST(Rounding, HappensOnce) {
  // 1 + 2^-8 + 2^-40 lies just above the middle of two bf16 numbers; by way of fp32 it would be on it and go to even.
  const torch::Tensor x = torch::tensor({1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-8, -1 - 0x1p-8 - 0x1p-40, 0.0, 3.0}, torch::kDouble);
  EXPECT_TRUE(rounded_once(x, torch::kBFloat16).to(torch::kDouble).equal(torch::tensor({1 + 0x1p-7, 1.0, -1 - 0x1p-7, 0.0, 3.0}, torch::kDouble)));
  const torch::Tensor many = torch::randn({10000}, torch::kDouble);
  EXPECT_TRUE(rounded_once(many, torch::kFloat).equal(many.to(torch::kFloat)));
  const torch::Tensor halves = rounded_once(many, torch::kHalf).to(torch::kDouble);
  EXPECT_LE(((halves - many).abs() / many.abs().clamp_min(6.2e-5)).max().item<double>(), 0x1p-11);
}

}  // namespace
}  // namespace sara
