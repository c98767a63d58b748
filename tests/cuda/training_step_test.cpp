// SPDX-License-Identifier: Apache-2.0
// Training a small denoiser by kernels, beside the same on the CPU.
#include "sara/models/unet.h"
#include "sara/optim/adamw.h"
#include "tests/cuda/device.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

struct TrainingOn : OnKernelDevice, testing::WithParamInterface<std::tuple<at::ScalarType, double>> {};

TEST_P(TrainingOn, ASmallUNetLearnsTheSameAsOnTheCpu) {
  const auto [dtype, threshold] = GetParam();
  const auto train = [dtype = dtype, threshold = threshold](torch::Device device) {
    torch::manual_seed(7);
    const auto unet = std::make_shared<UNet2DConditionModel>(small_unet(), torch::dtype(torch::kFloat));
    for (const auto& parameter : unet->parameters()) {
      const torch::NoGradGuard no_grad;
      parameter.copy_(0.1 * torch::randn(parameter.sizes()) + (parameter.dim() == 1 ? 0.5 : 0.0));
    }
    unet->to(device, dtype);
    AdamW optimizer(unet->named_parameters(), AdamWOptions().threshold(threshold).max_grad_norm(1).lambda_rank(1e-4).rank_mode("one"));
    std::vector<torch::Tensor> out;
    for (int64_t t = 1; t <= 3; ++t) {
      const torch::Tensor x = torch::randn({2, 4, 16, 16}).to(device, dtype), context = torch::randn({2, 5, 12}).to(device, dtype), target = torch::randn({2, 4, 16, 16});
      const torch::Tensor predicted = unet->forward(x, torch::tensor({10, 700}).to(device), context);
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
    EXPECT_LT((ours[i] - expected[i]).norm().item<double>(), unit * size) << "result " << i;
  }
}

// Few selected weights go entry by entry, many by dense products.
INSTANTIATE_TEST_SUITE_P(Precisions, TrainingOn, testing::Values(std::tuple(torch::kFloat, 1e-3), std::tuple(torch::kFloat, 2e-2), std::tuple(torch::kBFloat16, 1e-3)));

}  // namespace
}  // namespace sara
