// SPDX-License-Identifier: Apache-2.0
// The fused blocks against the same formulas written with torch's own functions, in fp64: results and every gradient, frozen,
// dense and captured, at every memory level.
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <functional>

#include "sara/ops/attention.h"
#include "sara/ops/checkpoint.h"
#include "sara/ops/feed_forward.h"
#include "sara/ops/linear.h"
#include "sara/ops/norm_conv2d.h"
#include "sara/ops/token_projection.h"
#include "sara/ops/upsample_conv2d.h"
#include "sara/sparse/capture.h"

namespace sara {
namespace {

using Tensors = std::vector<torch::Tensor>;
using Computation = std::function<torch::Tensor(const Tensors&)>;

struct BlockCase {
  const char* name;
  std::vector<std::vector<int64_t>> shapes;  // the first is the input; the rest are parameters, then other inputs
  size_t parameters;                         // how many of them are parameters
  Computation fused, composed;
};

// A row a token: all of these differ.
torch::Tensor positions_like(const torch::Tensor& x) { return torch::linspace(-2, 2, x.size(1) * x.size(2), x.options().requires_grad(false)).view({x.size(1), x.size(2)}); }

torch::Tensor fused_attention(const Tensors& t, bool cross, MemoryLevel level, bool positions = false) {
  return attention_block(t[0], cross ? t[8] : torch::Tensor(), {t[1], t[2], t[3], t[4], t[5], t[6], t[7], 2, 1e-5, false, positions ? positions_like(t[0]) : torch::Tensor()}, level);
}

torch::Tensor composed_attention(const Tensors& t, bool cross, bool positions = false) {
  const auto heads = [](const torch::Tensor& x) { return x.unflatten(2, {2, -1}).transpose(1, 2); };
  auto normed = torch::layer_norm(t[0], {t[0].size(2)}, t[1], t[2], 1e-5);
  if (positions) normed = normed + positions_like(t[0]);
  const auto source = cross ? t[8] : normed;
  const auto q = heads(torch::linear(normed, t[3])), k = heads(torch::linear(source, t[4])), v = heads(torch::linear(source, t[5]));
  const auto attended = torch::softmax(q.matmul(k.transpose(2, 3)) / std::sqrt(double(q.size(3))), -1).matmul(v);
  return t[0] + torch::linear(attended.transpose(1, 2).flatten(2), t[6], t[7]);
}

torch::Tensor fused_feed_forward(const Tensors& t, MemoryLevel level) { return feed_forward_block(t[0], {t[1], t[2], t[3], t[4], t[5], t[6], 1e-5}, level); }

torch::Tensor composed_feed_forward(const Tensors& t) {
  const auto halves = torch::linear(torch::layer_norm(t[0], {t[0].size(2)}, t[1], t[2], 1e-5), t[3], t[4]).chunk(2, -1);
  return t[0] + torch::linear(halves[0] * torch::gelu(halves[1]), t[5], t[6]);
}

std::vector<BlockCase> cases() {
  const std::vector<std::vector<int64_t>> self = {{2, 9, 8}, {8}, {8}, {8, 8}, {8, 8}, {8, 8}, {8, 8}, {8}};
  auto cross = self;
  cross[4] = cross[5] = {8, 6};
  cross.push_back({2, 5, 6});
  const std::vector<std::vector<int64_t>> forward = {{2, 9, 8}, {8}, {8}, {64, 8}, {64}, {8, 32}, {8}};
  std::vector<BlockCase> out;
  for (const auto level : {MemoryLevel::n0, MemoryLevel::n1, MemoryLevel::n2}) {
    out.push_back({"self attention", self, 7, [=](const Tensors& t) { return fused_attention(t, false, level); }, [](const Tensors& t) { return composed_attention(t, false); }});
    out.push_back({"cross attention", cross, 7, [=](const Tensors& t) { return fused_attention(t, true, level); }, [](const Tensors& t) { return composed_attention(t, true); }});
    out.push_back({"attention with positions", self, 7, [=](const Tensors& t) { return fused_attention(t, false, level, true); },
                   [](const Tensors& t) { return composed_attention(t, false, true); }});
    out.push_back({"feed-forward", forward, 6, [=](const Tensors& t) { return fused_feed_forward(t, level); }, composed_feed_forward});
  }
  out.push_back({"checkpointed feed-forward", forward, 6,
                 [](const Tensors& t) {
                   return checkpoint([t](const Tensors& inputs) { Tensors again = t; again[0] = inputs[0]; return fused_feed_forward(again, MemoryLevel::checkpoint); }, {t[0]});
                 },
                 composed_feed_forward});
  out.push_back({"linear", {{3, 7, 6}, {5, 6}, {5}}, 2, [](const Tensors& t) { return linear(t[0], t[1], t[2]); }, [](const Tensors& t) { return torch::linear(t[0], t[1], t[2]); }});
  out.push_back({"linear without bias", {{7, 6}, {5, 6}}, 1, [](const Tensors& t) { return sara::linear(t[0], t[1], torch::Tensor()); }, [](const Tensors& t) { return torch::linear(t[0], t[1]); }});
  for (const ConvolutionShape shape : {ConvolutionShape{3, 1, 1}, ConvolutionShape{3, 2, 1}, ConvolutionShape{3, 1, 0}, ConvolutionShape{1, 1, 0}})
    for (const int64_t side : {6, 20}) {  // few positions, and many
      out.push_back({"conv2d", {{2, 4, side, side}, {6, 4, shape.kernel, shape.kernel}, {6}}, 2, [shape](const Tensors& t) { return conv2d(t[0], t[1], t[2], shape); },
                     [shape](const Tensors& t) { return torch::conv2d(t[0], t[1], t[2], shape.stride, shape.padding); }});
    }
  for (const bool silu : {true, false}) {
    out.push_back({"norm, convolution, shift and residual", {{2, 8, 5, 4}, {8}, {8}, {6, 8, 3, 3}, {6}, {2, 6}, {2, 6, 5, 4}}, 4,
                   [silu](const Tensors& t) { return norm_conv2d(t[0], {t[1], t[2], 4, 1e-5, silu}, t[3], t[4], {3, 1, 1}, t[5], t[6]); },
                   [silu](const Tensors& t) {
                     const auto z = torch::group_norm(t[0], 4, t[1], t[2], 1e-5);
                     return torch::conv2d(silu ? torch::silu(z) : z, t[3], t[4], 1, 1) + t[5].unsqueeze(2).unsqueeze(3) + t[6];
                   }});
  }
  out.push_back({"map to tokens", {{2, 8, 5, 4}, {8}, {8}, {6, 8, 1, 1}, {6}}, 4, [](const Tensors& t) { return map_to_tokens(t[0], {t[1], t[2], 4, 1e-6, false}, t[3], t[4]); },
                 [](const Tensors& t) { return torch::conv2d(torch::group_norm(t[0], 4, t[1], t[2], 1e-6), t[3], t[4]).flatten(2).transpose(1, 2); }});
  out.push_back({"tokens to map", {{2, 20, 6}, {8, 6}, {8}, {2, 8, 5, 4}}, 2, [](const Tensors& t) { return tokens_to_map(t[0], t[1], t[2], t[3]); },
                 [](const Tensors& t) { return torch::linear(t[0], t[1], t[2]).transpose(1, 2).unflatten(2, {5, 4}) + t[3]; }});
  out.push_back({"enlarged convolution", {{2, 4, 5, 3}, {6, 4, 3, 3}, {6}}, 2, [](const Tensors& t) { return upsample_conv2d(t[0], 9, 6, t[1], t[2], {3, 1, 1}); },
                 [](const Tensors& t) { return torch::conv2d(torch::upsample_nearest2d(t[0], {9, 6}), t[1], t[2], 1, 1); }});
  return out;
}

struct Outcome {
  torch::Tensor result;
  Tensors gradients;
};

Tensors drawn(const BlockCase& block) {
  Tensors out;
  for (const auto& shape : block.shapes) out.push_back(torch::randn(shape) * (out.empty() ? 1.0 : 0.5));
  return out;
}

Tensors leaves(const Tensors& from, at::ScalarType dtype) {
  Tensors out;
  for (const auto& tensor : from) out.push_back(tensor.to(dtype, false, /*copy=*/true).requires_grad_());
  return out;
}

Outcome run(const Computation& compute, const Tensors& inputs, const torch::Tensor& weights) {
  const torch::Tensor result = compute(inputs);
  (result * weights.to(result.scalar_type())).sum().backward();
  Outcome out{result.detach(), {}};
  for (const auto& tensor : inputs) out.gradients.push_back(tensor.grad());
  return out;
}

double difference(const torch::Tensor& got, const torch::Tensor& expected) {
  return ((got.to(torch::kDouble) - expected).norm() / (expected.norm() + 1e-6)).item<double>();
}

TEST(Blocks, ResultsAndAllGradientsEqualTheFormulaInDoublePrecision) {
  for (const BlockCase& block : cases()) {
    const Tensors values = drawn(block);
    for (const auto& [dtype, bound] : {std::pair{torch::kFloat, 1e-5}, std::pair{torch::kBFloat16, 3e-2}}) {
      Tensors rounded;
      for (const auto& value : values) rounded.push_back(value.to(dtype).to(torch::kDouble));
      const Tensors exact = leaves(rounded, torch::kDouble);
      const torch::Tensor weights = torch::randn(block.composed(exact).sizes()).to(dtype).to(torch::kDouble);
      const Outcome expected = run(block.composed, exact, weights), got = run(block.fused, leaves(rounded, dtype), weights);
      EXPECT_LE(difference(got.result, expected.result), bound) << block.name;
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_TRUE(got.gradients[i].defined()) << block.name << ", gradient " << i;
        EXPECT_EQ(got.gradients[i].scalar_type(), dtype);
        EXPECT_LE(difference(got.gradients[i], expected.gradients[i]), bound) << block.name << ", gradient " << i << ", " << dtype;
      }
    }
  }
}

// Parameters of odd or of even number are sparse, below the break-even, the others dense, above it, or the odd ones are frozen.
enum class Chosen { kOddSparse, kEvenSparse, kEvenAlone };

TEST(Blocks, CapturedWeightsGetTheSelectedEntriesAndNoDenseGradient) {
  for (const Chosen chosen : {Chosen::kOddSparse, Chosen::kEvenSparse, Chosen::kEvenAlone})
    for (const BlockCase& block : cases()) {
      const Tensors values = drawn(block), exact = leaves(values, torch::kDouble), inputs = leaves(values, torch::kFloat);
      const torch::Tensor weights = torch::randn(block.composed(exact).sizes(), torch::kDouble);
      const Outcome expected = run(block.composed, exact, weights);
      Mask mask;
      NamedTensors scope;
      for (size_t i = 1; i <= block.parameters; ++i) {
        if (chosen == Chosen::kEvenAlone && i % 2) {
          inputs[i].set_requires_grad(false);
          continue;
        }
        const torch::Tensor some = torch::rand({inputs[i].numel()}).lt((i % 2 == 1) == (chosen == Chosen::kOddSparse) ? 0.2 : 0.9);
        mask.push_back({std::to_string(i), inputs[i], some.nonzero().view(-1).to(torch::kInt)});
        scope.emplace_back(std::to_string(i), inputs[i]);
      }
      if (mask.empty()) continue;
      Values compact(mask);
      const Capture capture(compact, scope);
      run(block.fused, inputs, weights);
      run(block.fused, inputs, weights);  // adds up
      for (const auto& slot : compact.slots()) {
        EXPECT_FALSE(slot.weight.grad().defined()) << block.name;
        const torch::Tensor all = 2 * expected.gradients[std::stoul(slot.name)];
        const torch::Tensor error = (Values::span(compact.gradient(), slot) - all.view(-1).index_select(0, slot.indices.to(torch::kLong))).norm() / (all.norm() + 1e-6);
        EXPECT_LE(error.item<double>(), 1e-5) << block.name << ", parameter " << slot.name;
      }
      for (size_t i = 0; i < inputs.size(); ++i) {  // the input, and what stands beside the parameters
        if (i > 0 && i <= block.parameters) continue;
        EXPECT_LE(difference(inputs[i].grad(), 2 * expected.gradients[i]), 1e-5) << block.name << ", input " << i;
      }
    }
}

TEST(Blocks, WhatIsFoundOutAboutPositionsIsKeptUntilTheMaskChanges) {
  const Tensors values = {torch::randn({2, 8, 12, 12}), torch::randn({6, 8, 3, 3}) * 0.1, torch::randn({6})}, inputs = leaves(values, torch::kFloat), exact = leaves(values, torch::kDouble);
  const Computation fused = [](const Tensors& t) { return conv2d(t[0], t[1], t[2], {3, 1, 1}); }, composed = [](const Tensors& t) { return torch::conv2d(t[0], t[1], t[2], 1, 1); };
  const torch::Tensor weights = torch::randn({2, 6, 12, 12}, torch::kDouble);
  Values compact({{"weight", inputs[1], torch::rand({6 * 8 * 9}).lt(0.2).nonzero().view(-1).to(torch::kInt)}});
  const Capture capture(compact, {{"weight", inputs[1]}});
  run(fused, inputs, weights);
  const auto first = compact.slots().front().entries;
  EXPECT_NE(first, nullptr);
  run(fused, inputs, weights);
  EXPECT_EQ(compact.slots().front().entries, first);
  compact.values().narrow(0, 3, 20).fill_(1);  // they leave
  compact.scatter_();
  compact.reselect_(0.9);
  compact.clear_gradient_();
  run(fused, inputs, weights);
  const torch::Tensor all = run(composed, exact, weights).gradients[1];
  const auto& slot = compact.slots().front();
  EXPECT_NE(slot.entries, first);
  EXPECT_LE(difference(Values::span(compact.gradient(), slot), all.view(-1).index_select(0, slot.indices.to(torch::kLong))), 1e-5);
}

TEST(Blocks, FrozenWeightsPassTheGradientOnAndGetNone) {
  for (const BlockCase& block : cases()) {
    const Tensors values = drawn(block), exact = leaves(values, torch::kDouble), inputs = leaves(values, torch::kFloat);
    const torch::Tensor weights = torch::randn(block.composed(exact).sizes(), torch::kDouble);
    const Outcome expected = run(block.composed, exact, weights);
    for (size_t i = 1; i <= block.parameters; ++i) inputs[i].set_requires_grad(false);
    const Outcome got = run(block.fused, inputs, weights);
    EXPECT_LE(difference(got.gradients[0], expected.gradients[0]), 1e-5) << block.name;
    for (size_t i = 1; i <= block.parameters; ++i) EXPECT_FALSE(got.gradients[i].defined()) << block.name;
  }
}

TEST(Blocks, EveryMemoryLevelGivesTheSameBits) {
  const std::vector<std::vector<int64_t>> shapes = {{2, 9, 8}, {8}, {8}, {8, 8}, {8, 8}, {8, 8}, {8, 8}, {8}};
  Tensors values;
  for (const auto& shape : shapes) values.push_back(torch::randn(shape));
  const torch::Tensor weights = torch::randn({2, 9, 8});
  const auto at_level = [&](MemoryLevel level) { return run([&](const Tensors& t) { return fused_attention(t, false, level); }, leaves(values, torch::kFloat), weights); };
  const Outcome most = at_level(MemoryLevel::n0), least = at_level(MemoryLevel::n2);
  EXPECT_TRUE(most.result.equal(least.result));
  for (size_t i = 0; i < values.size(); ++i) EXPECT_TRUE(most.gradients[i].equal(least.gradients[i])) << i;
}

}  // namespace
}  // namespace sara
