// SPDX-License-Identifier: Apache-2.0
// Group norm, layer norm and the gate by kernels: against the CPU's, and against torch's autograd in fp64.
#include <torch/utils.h>

#include "sara/ops/geglu.h"
#include "sara/ops/group_norm.h"
#include "sara/ops/layer_norm.h"
#include "sara/ops/map_layout.h"
#include "tests/cuda/device.h"

namespace sara {
namespace {

// dtype, SiLU or an added tensor, a size that fills no block.
struct NormsOn : OnKernelDevice, testing::WithParamInterface<std::tuple<at::ScalarType, bool>> {
  NormsOn() : dtype(std::get<0>(GetParam())), flag(std::get<1>(GetParam())) {}
  at::ScalarType dtype;
  bool flag;

  // fp32 results differ in the order of sums; narrower ones are rounded after it: one unit of their last place.
  void expect_close(const torch::Tensor& ours, const torch::Tensor& expected) const {
    const double unit = ours.scalar_type() == torch::kBFloat16 ? 8e-3 : ours.scalar_type() == torch::kHalf ? 1e-3 : 2e-5;
    ASSERT_EQ(ours.sizes(), expected.sizes());
    const torch::Tensor theirs = expected.to(torch::kDouble), error = (ours.to(torch::kDouble) - theirs).abs();
    const torch::Tensor allowed = unit * (theirs.abs() + theirs.abs().mean());
    EXPECT_TRUE(error.le(allowed).all().item<bool>()) << "off by " << error.max().item<double>() << " at most, among numbers of mean " << theirs.abs().mean().item<double>();
  }
  void expect_close(const std::vector<torch::Tensor>& ours, const std::vector<torch::Tensor>& expected) const {
    ASSERT_EQ(ours.size(), expected.size());
    for (size_t i = 0; i < ours.size(); ++i) {
      SCOPED_TRACE(testing::Message() << "result " << i);
      expect_close(ours[i], expected[i]);
    }
  }
  torch::Tensor random(at::IntArrayRef sizes) const { return torch::randn(sizes).to(dtype); }
};

TEST_P(NormsOn, GroupNormAndItsGradientsAreTheCpus) {
  for (const auto& sizes : {std::vector<int64_t>{2, 12, 5, 7}, {1, 6, 33, 40}, {2, 48, 6, 43}, {3, 24}}) {
    const torch::Tensor x = random(sizes) + 3, gradient = random(sizes), weight = random({sizes[1]}), bias = random({sizes[1]});
    const auto work = [&](const auto& place, bool channels_last) {
      const torch::Tensor from = channels_last ? place(x).contiguous(at::MemoryFormat::ChannelsLast) : place(x), scale = place(weight), shift = place(bias);
      const NormStatistics statistics = group_norm_statistics(from, 3, 1e-5);
      const NormGradients of = group_norm_backward(place(gradient), from, statistics, scale, shift, flag, /*with_output=*/true);
      const torch::Tensor value = group_norm_apply(from, statistics, scale, shift, flag);
      for (const torch::Tensor& map : {value, of.input, of.output}) EXPECT_EQ(is_channels_last(map), channels_last);
      return std::vector{statistics.mean, statistics.rstd, value, of.input, of.weight, of.bias, of.output};
    };
    const auto expected = work([](const torch::Tensor& t) { return t; }, false);
    for (const bool channels_last : {false, true})
      if (!channels_last || x.dim() == 4) expect_close(by_kernels([&] { return work(there, channels_last); }), expected);
  }
}

TEST_P(NormsOn, GroupNormGradientsAreThoseOfAutograd) {
  const torch::Tensor x = random({2, 12, 9, 11}) - 1, gradient = random({2, 12, 9, 11}), weight = random({12}), bias = random({12});
  const auto leaf = [](const torch::Tensor& t) { return t.to(torch::kDouble).requires_grad_(); };
  const torch::Tensor from = leaf(x), scale = leaf(weight), shift = leaf(bias);
  const torch::Tensor z = torch::group_norm(from, 4, scale, shift, 1e-5);
  (flag ? torch::silu(z) : z).backward(gradient.to(torch::kDouble));
  const auto ours = by_kernels([&] {
    const torch::Tensor given = there(x);
    const NormGradients of = group_norm_backward(there(gradient), given, group_norm_statistics(given, 4, 1e-5), there(weight), there(bias), flag);
    return std::vector{of.input, of.weight, of.bias};
  });
  expect_close(ours, {from.grad(), scale.grad(), shift.grad()});
}

TEST_P(NormsOn, LayerNormAndItsGradientsAreTheCpus) {
  for (const auto& sizes : {std::vector<int64_t>{2, 300, 40}, {3, 130}, {1, 5, 257}}) {
    const torch::Tensor x = random(sizes) * 2 + 1, gradient = random(sizes), weight = random({sizes.back()}), bias = random({sizes.back()});
    const torch::Tensor add = flag ? random(sizes) : torch::Tensor();
    const auto work = [&](const auto& place) {
      const torch::Tensor from = place(x), scale = place(weight), shift = place(bias);
      const auto [value, statistics] = layer_norm(from, scale, shift, 1e-5);
      const NormGradients of = layer_norm_backward(place(gradient), from, statistics, scale, place(add));
      return std::vector{statistics.mean, statistics.rstd, value, layer_norm_apply(from, statistics, scale, shift), of.input, of.weight, of.bias};
    };
    expect_close(by_kernels([&] { return work(there); }), work([](const torch::Tensor& t) { return t; }));
  }
}

TEST_P(NormsOn, TheGateAndItsGradientsAreThoseOfAutograd) {
  const double reach = flag ? 8 : 1;  // into the tails of the normal distribution
  for (const int64_t width : {7, 1030}) {
    const torch::Tensor halves = reach * random({2, 3, 2 * width}), gradient = random({2, 3, width});
    const torch::Tensor leaf = halves.to(torch::kDouble).requires_grad_();
    const auto parts = leaf.chunk(2, -1);
    const torch::Tensor product = parts[0] * torch::gelu(parts[1]);
    product.backward(gradient.to(torch::kDouble));
    const auto ours = by_kernels([&] {
      const GegluGradients of = geglu_backward(there(gradient), there(halves));
      return std::vector{geglu(there(halves)), of.product, of.halves};
    });
    expect_close(ours, {product.detach(), product.detach(), leaf.grad()});
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, NormsOn, testing::Combine(testing::Values(torch::kFloat, torch::kBFloat16, torch::kHalf), testing::Bool()));

}  // namespace
}  // namespace sara
