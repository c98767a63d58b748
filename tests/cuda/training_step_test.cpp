// SPDX-License-Identifier: Apache-2.0
// Training a small denoiser by kernels, beside the same on the CPU.
#include "sara/cuda/pass_graph.h"
#include "sara/layers/conv.h"
#include "sara/models/mmdit.h"
#include "sara/models/unet.h"
#include "sara/ops/map_layout.h"
#include "sara/optim/adamw.h"
#include "tests/cuda/device.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

struct TrainingOn : OnKernelDevice, testing::WithParamInterface<std::tuple<at::ScalarType, double>> {};

template <class Model = UNet2DConditionModel, class Config>
std::shared_ptr<Model> random_model(const Config& config, at::ScalarType dtype, torch::Device device) {
  torch::manual_seed(7);
  const auto model = std::make_shared<Model>(config, torch::dtype(dtype).device(device));
  const torch::NoGradGuard no_grad;
  for (const auto& parameter : model->parameters()) parameter.copy_(0.1 * torch::randn(parameter.sizes()) + (parameter.dim() == 1 ? 0.5 : 0.0));
  for (const auto& buffer : model->buffers()) buffer.copy_(0.1 * torch::randn(buffer.sizes()));  // SD 3's table of positions
  lay_out_for_device_(*model);
  return model;
}

TEST_P(TrainingOn, ASmallUNetLearnsTheSameAsOnTheCpu) {
  const auto [dtype, threshold] = GetParam();
  const auto train = [dtype = dtype, threshold = threshold](torch::Device device) {
    const auto unet = random_model(small_unet(), dtype, device);
    AdamW optimizer(unet->named_parameters(), AdamWOptions().threshold(threshold).max_grad_norm(1).lambda_rank(1e-4).rank_mode("one").progressive_iter(dtype == torch::kFloat ? 2 : 0));
    std::vector<torch::Tensor> out;
    for (int64_t t = 1; t <= 3; ++t) {
      const torch::Tensor x = torch::randn({2, 4, 16, 16}).to(device, dtype), context = torch::randn({2, 5, 12}).to(device, dtype), target = torch::randn({2, 4, 16, 16});
      const torch::Tensor predicted = unet->forward(x, torch::tensor({10, 700}).to(device), context);
      EXPECT_EQ(is_channels_last(predicted), !device.is_cpu());
      (predicted.to(torch::kFloat) - target.to(device)).square().mean().backward();
      out.push_back(optimizer.values().gradient().cpu().clone());
      out.push_back(torch::tensor(optimizer.step(t, 1e-3).grad_norm));
    }
    optimizer.values().verify_frozen();
    return out;
  };
  const auto expected = train(torch::kCPU);
  const ByKernels on;
  const auto ours = train(kernel_device());
  const double unit = dtype == torch::kFloat ? 2e-3 : 8e-2;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double size = expected[i].norm().item<double>();
    EXPECT_GT(size, 0.0);
    ASSERT_EQ(ours[i].sizes(), expected[i].sizes());
    EXPECT_LT((ours[i] - expected[i]).norm().item<double>(), unit * size) << "result " << i;
  }
}

// Every family at every memory level, SaRA's gradient and that of full fine-tuning.
struct FamilyOn : OnKernelDevice, testing::WithParamInterface<std::tuple<const char*, MemoryLevel>> {
  static std::shared_ptr<Denoiser> model(const std::string& family, torch::Device device) {
    if (family == "sd3") return random_model<SD3Transformer2DModel>(small_mmdit(), torch::kFloat, device);
    UNetConfig config = small_unet();
    if (family == "sdxl") config.text_time = TextTimeConfig{.time_channels = 4, .in_channels = 32};
    if (family == "animatediff") config.motion = MotionConfig{.heads = {2, 4}, .layers = {1, 1}, .mid_layers = 1, .mid_block = true, .max_frames = 8};
    if (family == "sd20") config.use_linear_projection = config.upcast_attention = true;
    return random_model(config, torch::kFloat, device);
  }
};

TEST_P(FamilyOn, GradientsAreThoseOfTheCpu) {
  const auto [family, level] = GetParam();
  const auto gradients = [family = std::string(family), level = level](torch::Device device, bool sparse) {
    const auto denoiser = FamilyOn::model(family, device);
    denoiser->set_memory_level(level);
    std::optional<AdamW> optimizer;
    if (sparse) optimizer.emplace(denoiser->named_parameters(), AdamWOptions().threshold(1e-2));
    const auto wanted = denoiser->inputs();
    std::vector<int64_t> shape{2, wanted.latent_channels, 8, 8};
    if (wanted.max_frames) shape.insert(shape.begin() + 2, 3);
    AddedConditions added;
    if (wanted.pooled_width) added.pooled_text = torch::randn({2, wanted.pooled_width}).to(device);
    if (wanted.time_ids) added.time_ids = torch::tensor({8, 8, 0, 0, 8, 8}).expand({2, 6}).to(device);
    const torch::Tensor x = torch::randn(shape).to(device), text = torch::randn({2, 5, wanted.text_width}).to(device);
    const auto passes = [&](const cuda::PassGraph::Tensors& in) {
      denoiser->forward(in[0], in[1], in[2], {in[3], in[4]}).square().mean().backward();
      return cuda::PassGraph::Tensors();
    };
    const cuda::PassGraph::Tensors inputs{x, torch::tensor({10, 700}).to(device), text, added.pooled_text, added.time_ids};
    if (sparse && !device.is_cpu()) {  // as they are, and recorded: three times in all
      cuda::PassGraph graph(device, passes);
      for (int64_t i = 0; i <= cuda::PassGraph::kUnrecorded; ++i) graph.run(inputs);
      return (optimizer->values().gradient().cpu() / (cuda::PassGraph::kUnrecorded + 1)).clone();
    }
    passes(inputs);
    if (sparse) return optimizer->values().gradient().cpu().clone();
    std::vector<torch::Tensor> all;
    for (const auto& parameter : denoiser->parameters()) all.push_back(parameter.grad().cpu().reshape({-1}));
    return torch::cat(all);
  };
  for (const bool sparse : {true, false}) {
    const torch::Tensor expected = gradients(torch::kCPU, sparse);
    const ByKernels on;
    const torch::Tensor ours = gradients(kernel_device(), sparse);
    ASSERT_EQ(ours.sizes(), expected.sizes());
    EXPECT_GT(expected.norm().item<double>(), 0.0);
    EXPECT_LT((ours - expected).norm().item<double>(), 1e-3 * expected.norm().item<double>()) << (sparse ? "sparse" : "full");
  }
}

INSTANTIATE_TEST_SUITE_P(AllAtEveryLevel, FamilyOn,
                         testing::Combine(testing::Values("sd15", "sd20", "sdxl", "animatediff", "sd3"),
                                          testing::Values(MemoryLevel::n0, MemoryLevel::n1, MemoryLevel::n2, MemoryLevel::checkpoint)));

// Passes wait for nothing; the optimizer reads the gradient's norm back, and the value of the rank term.
TEST_F(OnKernelDevice, AStepWaitsForItsTwoNumbersAlone) {
  if (!host_waits()) GTEST_SKIP() << "nothing counts how often the host waits for this device";
  const ByKernels on;
  const auto device = kernel_device();
  const auto unet = random_model(small_unet(), torch::kFloat, device);
  AdamW optimizer(unet->named_parameters(), AdamWOptions().threshold(2e-2).max_grad_norm(1).lambda_rank(1e-4).rank_mode("one").progressive_iter(0));
  const torch::Tensor x = torch::randn({2, 4, 16, 16}).to(device), context = torch::randn({2, 5, 12}).to(device), target = torch::randn({2, 4, 16, 16}).to(device), times = torch::tensor({10, 700}).to(device);
  for (int64_t t = 1; t <= 2; ++t) {
    const int64_t before = *host_waits();
    const torch::Tensor loss = (unet->forward(x, times, context) - target).square().mean();
    EXPECT_EQ(*host_waits(), before) << "forward";
    loss.backward();
    EXPECT_EQ(*host_waits(), before) << "backward";
    optimizer.step(t, 1e-3);
    EXPECT_EQ(*host_waits(), before + 2) << "optimizer";
  }
  const int64_t before = *host_waits();
  EXPECT_TRUE(std::isfinite(unet->parameters().front().sum().item<double>()));
  EXPECT_EQ(*host_waits(), before + 1) << "what is read back is counted";
}

// Few selected weights go entry by entry, many by dense products.
INSTANTIATE_TEST_SUITE_P(Precisions, TrainingOn, testing::Values(std::tuple(torch::kFloat, 1e-3), std::tuple(torch::kFloat, 2e-2), std::tuple(torch::kBFloat16, 1e-3)));

}  // namespace
}  // namespace sara
