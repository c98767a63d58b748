// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <torch/types.h>

namespace sara {

// The device that the kernels of this test program run on: a GPU in test_cuda, the emulated grid of sara/cuda/emulation.h, whose
// tensors lie on the CPU, in test_cuda_emulated.
torch::Device kernel_device();
std::string why_no_device();  // empty when there is one

// While one exists the functions of the library take the kernels' way for tensors of kernel_device(). Without one they give the
// judge's answer for tensors on the CPU. `backwards`: the emulated grid from its end.
struct ByKernels {
  explicit ByKernels(bool backwards = false);
  ~ByKernels();
  ByKernels(const ByKernels&) = delete;
  ByKernels& operator=(const ByKernels&) = delete;
};

// Tests on the kernels' device. With SARA_REQUIRE_CUDA set, having none fails (tools/test_cuda.sh).
struct OnKernelDevice : testing::Test {
  void SetUp() override {
    const std::string why = why_no_device();
    if (why.empty()) return;
    if (getenv("SARA_REQUIRE_CUDA")) FAIL() << why;
    GTEST_SKIP() << why;
  }
  static torch::Tensor there(const torch::Tensor& tensor) { return tensor.defined() ? tensor.to(kernel_device(), tensor.scalar_type(), false, /*copy=*/true) : tensor; }

  // What `work` gives by the kernels, back on the CPU: on the emulated grid twice, and the same both times, from its beginning and from its end.
  template <class Work>
  static std::vector<torch::Tensor> by_kernels(const Work& work) {
    const auto run = [&](bool backwards) {
      const ByKernels on(backwards);
      std::vector<torch::Tensor> out;
      for (const torch::Tensor& tensor : work()) out.push_back(tensor.cpu());
      return out;
    };
    const auto forwards = run(false), backwards = run(true);
    for (size_t i = 0; i < forwards.size(); ++i)
      EXPECT_TRUE(forwards[i].contiguous().view({-1}).view(torch::kByte).equal(backwards[i].contiguous().view({-1}).view(torch::kByte))) << "result " << i << " depends on the order of threads";
    return forwards;
  }
};

}  // namespace sara
