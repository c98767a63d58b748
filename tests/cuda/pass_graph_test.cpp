// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/pass_graph.h"

#include "sara/base/error.h"
#include "tests/cuda/device.h"

namespace sara {
namespace {

using cuda::PassGraph;

struct PassGraphOn : OnKernelDevice {
  torch::Tensor total;  // what the passes add to, as a step's do to the gradient
  int64_t called = 0;
  std::optional<PassGraph> graph;

  void SetUp() override {
    OnKernelDevice::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    total = torch::zeros({3}, kernel_device());
    graph.emplace(kernel_device(), [this](const PassGraph::Tensors& in) {
      ++called;
      const torch::Tensor product = in[0] * in[1] + (in[2].defined() ? in[2] : torch::ones_like(in[0]));
      total.add_(product.sum(0));
      return PassGraph::Tensors{product.mean(), torch::Tensor()};
    });
  }
  double run(const torch::Tensor& a, const torch::Tensor& b, const torch::Tensor& c = {}) {
    const auto results = graph->run({a, b, c});
    EXPECT_FALSE(results[1].defined());
    return results[0].item<double>();
  }
};

TEST_F(PassGraphOn, GivesWhatThePassesGiveAndCallsThemThreeTimes) {
  torch::Tensor expected = torch::zeros({3});
  for (int64_t i = 1; i <= 6; ++i) {
    const torch::Tensor a = torch::randn({2, 3}), b = torch::randn({2, 3}), product = a * b + 1;
    EXPECT_NEAR(run(i % 2 ? a : there(a), b), product.mean().item<double>(), 1e-6) << i;
    expected += product.sum(0);
    EXPECT_TRUE(total.cpu().allclose(expected, 1e-5, 1e-6)) << i;
    EXPECT_EQ(called, std::min<int64_t>(i, PassGraph::kUnrecorded + 1));
  }
}

TEST_F(PassGraphOn, BeginsAnewForOtherInputsAndWhenItForgets) {
  const torch::Tensor wide = torch::ones({2, 3}), narrow = torch::ones({1, 3});
  for (int i = 0; i < 4; ++i) run(wide, wide);
  EXPECT_EQ(called, 3);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(run(narrow, narrow), 2.0);
  EXPECT_EQ(called, 6);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(run(narrow, narrow, 2 * narrow), 3.0);  // an input that was undefined
  EXPECT_EQ(called, 9);
  graph->forget();
  total = torch::zeros({3}, kernel_device());  // elsewhere
  for (int i = 0; i < 4; ++i) EXPECT_EQ(run(narrow, narrow, 2 * narrow), 3.0);
  EXPECT_EQ(called, 12);
  EXPECT_TRUE(total.cpu().equal(torch::full({3}, 12.0f)));
}

TEST_F(PassGraphOn, PassesThatWaitCannotBeRecorded) {
  PassGraph waits(kernel_device(), [](const PassGraph::Tensors& in) { return PassGraph::Tensors{in[0] * in[0].sum().item<double>()}; });
  const torch::Tensor x = torch::ones({2});
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(waits.run({x})[0].cpu().equal(2 * x));
  EXPECT_ANY_THROW(waits.run({x}));
}

TEST(PassGraph, TheCpuRecordsNone) {
  try {
    PassGraph(torch::kCPU, [](const PassGraph::Tensors& in) { return in; });
    ADD_FAILURE();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("cuda_graph: the device cpu records no graphs. Fix: train on a CUDA device, in a build with kernels"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace sara
