// SPDX-License-Identifier: Apache-2.0
// The training loop on the device: kernel after kernel, and with its passes as a graph.
#include "sara/train/trainer.h"

#include <cmath>

#include "sara/base/error.h"
#include "sara/layers/conv.h"
#include "sara/methods/registry.h"
#include "sara/models/initialize.h"
#include "sara/models/unet.h"
#include "sara/train/step_bench.h"
#include "tests/cuda/device.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

struct LoopOn : OnKernelDevice, testing::WithParamInterface<std::tuple<const char*, bool>> {
  TrainingData data;
  TrainOptions options;

  LoopOn() {
    torch::manual_seed(1);
    data.latents = {torch::randn({6, 4, 8, 8}), torch::full({6, 4, 8, 8}, 0.1), torch::zeros({6, 6}), 6};
    data.text.hidden = torch::randn({5, 3, 12});
    data.text.rows = {{1}, {2}, {3}, {4}, {1}, {2}};
    options.steps = 8;
    options.batch_size = 1;
    options.gradient_accumulation_steps = 2;
    options.precision = std::get<0>(GetParam());
    options.snr_gamma = 5;
    if (std::get<1>(GetParam())) data.classes = {2, 0.5};
  }

  struct Seen {
    std::vector<double> losses, class_losses, norms;
    std::vector<bool> skipped;
    std::vector<torch::Tensor> weights;
  };
  Seen train(torch::Device device, bool graph) {
    options.cuda_graph = graph;
    const auto dtype = options.precision == "fp16" ? torch::kHalf : torch::kFloat;
    UNet2DConditionModel first(small_unet(), torch::dtype(torch::kFloat));
    initialize_(first, 2);
    UNet2DConditionModel unet(small_unet(), torch::dtype(dtype).device(device));
    NamedTensors tensors;
    for (auto& item : unet.named_parameters()) {
      const torch::NoGradGuard no_grad;
      item.value().copy_(first.named_parameters()[item.key()]);
    }
    lay_out_for_device_(unet);
    for (auto& item : unet.named_parameters()) tensors.emplace_back("unet." + item.key(), item.value());
    MethodOptions how;
    how.threshold(2e-2).progressive_iter(5).lambda_rank(1e-4);
    const auto method = make_method("sara", tensors, how, options.steps);
    const DiffusionObjective objective{NoiseSchedule(SchedulerConfig()), options.snr_gamma};
    Seen seen;
    Trainer(unet, *method, objective, data, options, 5, 1e-3).run([&](const TrainingStep& step) {
      seen.losses.push_back(step.loss);
      seen.class_losses.push_back(step.class_loss.value_or(0));
      seen.norms.push_back(step.report.grad_norm);
      seen.skipped.push_back(step.report.skipped);
      return true;
    });
    for (const auto& weight : unet.parameters()) seen.weights.push_back(weight.detach().cpu());
    return seen;
  }
};

// The same kernels on the same numbers: the same bits, but for what a GPU adds up in an order of its own.
void expect_same(const LoopOn::Seen& ours, const LoopOn::Seen& expected) {
  const double unit = kernel_device().is_cuda() ? 1e-3 : 0;
  const auto expect_near = [unit](const std::vector<double>& a, const std::vector<double>& b, const char* what) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i)
      if (std::isfinite(b[i])) EXPECT_NEAR(a[i], b[i], unit * std::abs(b[i])) << what << " of step " << i + 1;
  };
  EXPECT_EQ(ours.losses.size(), 8);
  expect_near(ours.losses, expected.losses, "loss");
  expect_near(ours.class_losses, expected.class_losses, "class loss");
  expect_near(ours.norms, expected.norms, "gradient norm");
  EXPECT_EQ(ours.skipped, expected.skipped);
  for (size_t i = 0; i < ours.weights.size(); ++i) {
    const auto [a, b] = std::pair(ours.weights[i].to(torch::kFloat), expected.weights[i].to(torch::kFloat));
    EXPECT_LE((a - b).norm().item<double>(), unit * b.norm().item<double>()) << "weight " << i;
  }
}

TEST_P(LoopOn, AGraphTakesTheStepsThatTheKernelsTakeOneByOne) {
  const ByKernels on;
  const Seen expected = train(kernel_device(), false);
  const auto recorded = graphs_recorded();
  expect_same(train(kernel_device(), true), expected);
  if (recorded) EXPECT_EQ(*graphs_recorded(), *recorded + 2) << "before the reselection and after it";
}

TEST_F(OnKernelDevice, AMethodWhoseGradientMovesGetsNoGraph) {
  TrainOptions options;
  options.cuda_graph = true;
  UNet2DConditionModel unet(small_unet(), torch::device(kernel_device()));
  const auto method = make_method("full", {{"unet.conv_in.bias", unet.named_parameters()["conv_in.bias"]}}, {}, 2);
  const DiffusionObjective objective{NoiseSchedule(SchedulerConfig())};
  const TrainingData data{.latents = {torch::zeros({4, 4, 8, 8}), torch::zeros({4, 4, 8, 8}), torch::zeros({4, 6}), 4}, .text = {}, .transforms = {}};
  try {
    Trainer(unet, *method, objective, data, options, 1, 1e-3);
    ADD_FAILURE();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("cuda_graph: not with method full"), std::string::npos) << error.what();
  }
}

TEST_P(LoopOn, LossesAreThoseOfTheCpu) {
  if (options.precision == "fp16") GTEST_SKIP() << "the CPU rounds elsewhere";
  const Seen expected = train(torch::kCPU, false);
  const ByKernels on;
  const Seen ours = train(kernel_device(), false);
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(ours.losses[i], expected.losses[i], 1e-3 * expected.losses[i]) << i;
    EXPECT_NEAR(ours.class_losses[i], expected.class_losses[i], 1e-3 * expected.losses[i]) << i;
  }
}

// A step whose loss is not finite is left out, and the graph goes on.
TEST_P(LoopOn, ANonFinitePictureIsSkippedByTheGraphToo) {
  const ByKernels on;
  data.latents.mean[1].fill_(std::nan(""));
  options.max_skipped_steps = 8;
  const Seen expected = train(kernel_device(), false), ours = train(kernel_device(), true);
  expect_same(ours, expected);
  EXPECT_GT(std::count(ours.skipped.begin(), ours.skipped.end(), true), 0);
  EXPECT_GT(std::count(ours.skipped.begin(), ours.skipped.end(), false), 0);
}

TEST_F(OnKernelDevice, AStepIsTimedWhereItsWeightsLie) {
  const ByKernels on;
  const auto unet = std::make_shared<UNet2DConditionModel>(small_unet(), torch::device(kernel_device()));
  const torch::NoGradGuard no_grad;
  for (auto& weight : unet->parameters()) weight.copy_(0.1 * torch::randn(weight.sizes()));
  lay_out_for_device_(*unet);
  const torch::AutoGradMode grad(true);
  StepBenchOptions options;
  options.resolution = 64;
  options.steps = 2;
  options.compare_frozen = true;
  MethodOptions how;
  how.threshold(1e-2);
  const Json result = bench_train_step(unet, "unet", kPublishedFactor, options, {}, how);
  EXPECT_EQ(result["device"], kernel_device().str());
  EXPECT_TRUE(result["weight_gradients_s"].is_null());
  for (const char* name : {"forward_s", "backward_s", "optimizer_s", "step_s", "frozen_backward_s"}) EXPECT_GT(result[name].get<double>(), 0.0) << name;
  if (kernel_device().is_cuda()) {
    EXPECT_GT(result["peak_device_gb"].get<double>(), 0.0);
    EXPECT_GT(result["saved_activation_bytes"].get<int64_t>(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(PrecisionsAndClasses, LoopOn, testing::Combine(testing::Values("fp32", "fp16"), testing::Bool()));

}  // namespace
}  // namespace sara
