// SPDX-License-Identifier: Apache-2.0
// Single entries of weight gradients by kernels, against the dense gradient in fp64; and which way a density goes.
#include <torch/utils.h>

#include "sara/cuda/kernels.h"
#include "sara/ops/linear.h"
#include "sara/ops/norm_conv2d.h"
#include "sara/sparse/capture.h"
#include "sara/sparse/selection.h"
#include "tests/cuda/device.h"

namespace sara {
namespace {

struct SampledOn : OnKernelDevice, testing::WithParamInterface<at::ScalarType> {
  static torch::Tensor random(at::IntArrayRef sizes) { return torch::randn(sizes).to(GetParam()); }
  static torch::Tensor some_indices(int64_t count, int64_t selected) { return std::get<0>(torch::randperm(count).narrow(0, 0, selected).sort()).to(torch::kInt); }
  // `out` starts as something that has to be added to.
  static void expect_entries(const torch::Tensor& ours, const torch::Tensor& start, const torch::Tensor& dense, const torch::Tensor& indices) {
    const torch::Tensor expected = start.to(torch::kDouble) + dense.reshape({-1}).index_select(0, indices);
    EXPECT_LT((ours - expected).abs().max().item<double>(), 1e-5 * expected.abs().max().item<double>());
  }
};

TEST_P(SampledOn, EntriesOfALinearLayersGradientAreThoseOfTheDenseProduct) {
  for (const auto& [tokens, rows, columns, selected] : std::vector<std::array<int64_t, 4>>{{1, 3, 4, 5}, {37, 20, 33, 100}, {64, 9, 70, 1}}) {
    const torch::Tensor gradient = random({tokens, rows}), input = random({tokens, columns}), indices = some_indices(rows * columns, selected), start = torch::randn({selected});
    const auto ours = by_kernels([&] {
      const torch::Tensor out = there(start);
      cuda::kernels(kernel_device())->sampled_linear(out, there(indices), there(gradient), there(input));
      return std::vector{out};
    });
    expect_entries(ours[0], start, gradient.to(torch::kDouble).t().mm(input.to(torch::kDouble)), indices);
  }
}

TEST_P(SampledOn, EntriesOfAConvolutionsGradientAreThoseOfTorchs) {
  struct Case {
    std::vector<int64_t> input;
    int64_t out, kernel, stride, padding;
  };
  for (const Case& c : {Case{{2, 3, 7, 9}, 5, 3, 1, 1}, {{1, 4, 8, 8}, 6, 3, 2, 1}, {{3, 2, 5, 5}, 4, 1, 1, 0}, {{1, 2, 9, 6}, 3, 3, 2, 0}, {{1, 1, 12, 40}, 2, 5, 1, 2}}) {
    const torch::Tensor input = random(c.input), weight = torch::zeros({c.out, c.input[1], c.kernel, c.kernel}, torch::kDouble).requires_grad_();
    const torch::Tensor y = torch::conv2d(input.to(torch::kDouble), weight, {}, c.stride, c.padding), gradient = random(y.sizes());
    y.backward(gradient.to(torch::kDouble));
    const torch::Tensor indices = some_indices(weight.numel(), weight.numel() / 2 + 1), start = torch::randn({indices.numel()});
    const auto ours = by_kernels([&] {
      const torch::Tensor out = there(start);
      cuda::kernels(kernel_device())->sampled_convolution(out, there(indices), there(gradient), there(input), {c.kernel, c.stride, c.padding});
      return std::vector{out};
    });
    expect_entries(ours[0], start, weight.grad(), indices);
  }
}

// A linear layer and a convolution with few and with many selected weights: below the break-even entry by entry, above it by a dense
// product and a gather.
TEST_P(SampledOn, LayersGatherTheGradientOfTheDenseLayerAtEveryDensity) {
  for (const double share : {0.005, 0.3}) {
    torch::manual_seed(3);
    const torch::Tensor x = random({2, 6, 8, 8}), w = 0.1 * random({40, 6, 3, 3}), v = 0.1 * random({50, 40}), shift = random({40}), other = random({50});
    const auto train = [&](const auto& place) {
      const torch::Tensor conv = place(w).requires_grad_(), line = place(v).requires_grad_();
      const Mask mask = select({{"conv", conv}, {"line", line}}, {.budget = std::to_string(100 * share) + "%"}).mask;
      Values values(mask);
      const Capture capture(values, {{"conv", conv}, {"line", line}});
      const torch::Tensor map = conv2d(place(x), conv, place(shift), {3, 1, 1});
      linear(map.flatten(2).transpose(1, 2), line, place(other)).to(torch::kFloat).square().sum().backward();
      EXPECT_FALSE(conv.grad().defined() || line.grad().defined());
      return std::vector{values.gradient().clone()};
    };
    const torch::Tensor expected = train([](const torch::Tensor& t) { return t.clone(); })[0].to(torch::kDouble);
    const torch::Tensor ours = by_kernels([&] { return train(there); })[0];
    const double unit = GetParam() == torch::kFloat ? 1e-5 : GetParam() == torch::kHalf ? 4e-3 : 3e-2;
    EXPECT_LT((ours - expected).norm().item<double>(), unit * expected.norm().item<double>()) << share;
    EXPECT_GT(expected.norm().item<double>(), 0.0);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, SampledOn, testing::Values(torch::kFloat, torch::kBFloat16, torch::kHalf));

}  // namespace
}  // namespace sara
