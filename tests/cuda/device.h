// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <torch/types.h>

#include <optional>

namespace sara {

// The device that the kernels of this test program run on: a GPU in test_cuda; in test_cuda_emulated a device of torch's whose memory and operations are the
// CPU's (emulated_backend.cpp), with the emulated grid of sara/cuda/emulation.h for our kernels.
torch::Device kernel_device();
std::string why_no_device();  // empty when there is one

// How often the host has waited for the device so far: a number or a tensor read back, a result whose size depends on numbers. None where nothing counts it.
std::optional<int64_t> host_waits();
std::optional<int64_t> graphs_recorded();  // likewise

// While one exists the device computes as the tests want it: a GPU convolves fp32 numbers in fp32, the emulated grid runs from its end if `backwards`.
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
