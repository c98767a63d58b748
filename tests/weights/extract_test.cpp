// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/extract.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "sara/base/random.h"
#include "sara/weights/adapter_sum.h"
#include "sara/weights/applied_adapters.h"
#include "sara/weights/rounding.h"

namespace sara {
namespace {

torch::Tensor stored_bits(const torch::Tensor& tensor) {
  return tensor.contiguous().view(-1).view(tensor.element_size() == 4 ? torch::kInt : torch::kShort);
}

// Any finite numbers of a type: all exponents, both zeros, subnormals.
torch::Tensor any_weights(at::ScalarType dtype, int64_t count, uint64_t seed) {
  const bool wide = dtype == torch::kFloat;
  torch::Tensor words = torch::empty({count}, wide ? torch::kInt : torch::kShort);
  RandomStream stream(seed);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t draw = stream.next();
    if (wide) words.data_ptr<int32_t>()[i] = static_cast<int32_t>(draw % 17 == 0 ? draw & 0x80000000u : draw);
    else words.data_ptr<int16_t>()[i] = static_cast<int16_t>(draw % 17 == 0 ? draw & 0x8000u : draw);
  }
  const torch::Tensor weights = words.view(dtype);
  return torch::where(weights.isfinite(), weights, torch::zeros_like(weights));
}

// A tuned copy: `moved` of the positions hold other numbers, near (of the size of training) or anything.
torch::Tensor tuned_from(const torch::Tensor& base, int64_t moved, bool near, uint64_t seed) {
  torch::Tensor tuned = base.clone();
  const torch::Tensor other = near ? (base.to(torch::kDouble) * 1.01 + 1e-4).clamp(-6e4, 6e4).to(base.scalar_type()) : any_weights(base.scalar_type(), base.numel(), seed + 1);
  RandomStream stream(seed + 2);
  for (int64_t k = 0; k < moved; ++k) {
    const auto at = static_cast<int64_t>(stream.below(base.numel()));
    tuned[at] = other[at];
  }
  return tuned;
}

at::ScalarType any_dtype(uint64_t seed) { return std::array{torch::kFloat, torch::kBFloat16, torch::kHalf}[seed % 3]; }

RC_GTEST_PROP(AdapterProperties, ApplyingWhatWasExtractedGivesTheTunedBitsAndRemovalTheBase, (uint64_t seed, bool near)) {
  const auto dtype = any_dtype(seed);
  const int64_t count = 1 + static_cast<int64_t>(seed / 3 % 400);
  const torch::Tensor base = any_weights(dtype, count, seed), tuned = tuned_from(base, count / 3 + 1, near, seed);
  const AdapterTensor tensor = extract_tensor(base, tuned);
  RC_ASSERT(tensor.indices.numel() == stored_bits(base).ne(stored_bits(tuned)).sum().item<int64_t>());
  if (tensor.indices.numel() == 0) return;

  // Through the file, as a user would.
  const auto path = std::filesystem::temp_directory_path() / ("sara_extract_" + std::to_string(::getpid()) + ".safetensors");
  save_adapter(path.string(), {"x", {{"w", tensor}}, {{"base_hash", "{}"}}});
  const Adapter loaded = load_adapter(path.string());
  std::filesystem::remove(path);

  const torch::Tensor weight = base.clone();
  AppliedAdapters applied({{"w", weight}}, "");
  applied.add(loaded, 1.0, /*force=*/true);
  RC_ASSERT(stored_bits(weight).equal(stored_bits(tuned)));
  applied.set_scale(0, 0.0);
  RC_ASSERT(stored_bits(weight).equal(stored_bits(base)));
  applied.set_scale(0, 1.0);
  RC_ASSERT(stored_bits(weight).equal(stored_bits(tuned)));
  applied.remove();
  RC_ASSERT(stored_bits(weight).equal(stored_bits(base)));
}

Adapter some_adapter(int64_t numel, uint64_t seed) {
  RandomStream stream(seed);
  std::vector<int64_t> indices;
  std::vector<float> deltas;
  for (int64_t i = 0; i < numel; ++i)
    if (stream.below(3) == 0) indices.push_back(i), deltas.push_back(static_cast<float>(stream.uniform() - 0.5));
  return {"some", {{"w", {torch::tensor(indices, torch::kLong), torch::tensor(deltas), false}}}, {{"base_hash", R"({"w": "00"})"}}};
}

RC_GTEST_PROP(AdapterProperties, SeveralAdaptersAddUpLinearlyRoundedOnceAndComeOffBitForBit, (uint64_t seed, int8_t first, int8_t second)) {
  const auto dtype = any_dtype(seed);
  const int64_t count = 1 + static_cast<int64_t>(seed / 3 % 300);
  const double a = first / 32.0, b = second / 32.0;
  const torch::Tensor base = at::empty({count}).uniform_(-1, 1).to(dtype);
  const Adapter one = some_adapter(count, seed), two = some_adapter(count, seed + 1);

  torch::Tensor exact = base.to(torch::kDouble);
  exact.index_add_(0, one.tensors.at("w").indices, one.tensors.at("w").data.to(torch::kDouble), a);
  exact.index_add_(0, two.tensors.at("w").indices, two.tensors.at("w").data.to(torch::kDouble), b);

  const torch::Tensor weight = base.clone();
  AppliedAdapters applied({{"w", weight}}, "");
  applied.add(one, a, /*force=*/true);
  applied.add(two, b, /*force=*/true);
  // One rounding of a sum that fp64 holds to 2^-50.
  const double unit = dtype == torch::kFloat ? 0x1p-24 : dtype == torch::kHalf ? 0x1p-11 : 0x1p-8;
  const torch::Tensor allowed = exact.abs() * unit * (1 + 0x1p-20) + 0x1p-25;
  RC_ASSERT((weight.to(torch::kDouble) - exact).abs().le(allowed).all().item<bool>());

  // One adapter made of both does the same, to the rounding of its fp32 deltas.
  const torch::Tensor merged = base.clone();
  AppliedAdapters as_one({{"w", merged}}, "");
  as_one.add(adapter_sum({{one, a}, {two, b}}), 1.0, /*force=*/true);
  RC_ASSERT((merged.to(torch::kDouble) - exact).abs().le(allowed + 4 * 0x1p-23).all().item<bool>());

  applied.remove();
  RC_ASSERT(stored_bits(weight).equal(stored_bits(base)));
}

TEST(Extract, KeepsFp32AsValuesAndHalvesAsDeltasUnlessNoDeltaRestoresThem) {
  const auto extracted = [](at::ScalarType dtype, float from, float to) {
    return extract_tensor(torch::tensor({from, 1.0f}).to(dtype), torch::tensor({to, 1.0f}).to(dtype));
  };
  EXPECT_TRUE(extracted(torch::kFloat, 0.5f, 0.25f).is_value);
  EXPECT_FALSE(extracted(torch::kBFloat16, 0.5f, 0.25f).is_value);
  EXPECT_FALSE(extracted(torch::kHalf, 0.5f, 0.25f).is_value);
  EXPECT_TRUE(extracted(torch::kBFloat16, 1.0f, 1e-20f).is_value);  // 1 + (1e-20 - 1) is 0 in fp32
  EXPECT_TRUE(extracted(torch::kBFloat16, 0.5f, -0.0f).is_value);   // a sum gives +0
  EXPECT_EQ(extracted(torch::kFloat, 0.5f, 0.25f).indices.numel(), 1);
}

TEST(AppliedAdapters, AValueAtScaleOneIsThatValueHoweverSmall) {
  const torch::Tensor weight = torch::tensor({0.1f, 0.1f});
  AppliedAdapters applied({{"w", weight}}, "");
  applied.add({"x", {{"w", {torch::tensor({0}), torch::tensor({1e-30f}), true}}}, {}}, 1.0, /*force=*/true);
  EXPECT_EQ(weight[0].item<float>(), 1e-30f);
  EXPECT_EQ(weight[1].item<float>(), 0.1f);
}

}  // namespace
}  // namespace sara
