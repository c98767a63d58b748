// SPDX-License-Identifier: Apache-2.0
#include "sara/base/device.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include "sara/base/error.h"

namespace sara {
namespace {

std::string refusal(const std::string& name) {
  try {
    device_from_name(name);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

int64_t cuda_devices() { return at::detail::getCUDAHooks().isBuilt() ? int64_t(at::detail::getCUDAHooks().deviceCount()) : 0; }

TEST(Device, CpuIsTheCpu) { EXPECT_EQ(device_from_name("cpu"), c10::Device(c10::kCPU)); }

TEST(Device, AutoIsTheFirstGpuOrTheCpu) {
  EXPECT_EQ(device_from_name("auto"), cuda_devices() ? c10::Device(c10::kCUDA, 0) : c10::Device(c10::kCPU));
}

TEST(Device, UnknownNamesAreRefused) {
  for (const char* name : {"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cudax", "cuda:1 ", "cuda:123456789012"}) {
    EXPECT_EQ(refusal(name), message("device: unknown name (expected auto, cpu, cuda or cuda:N, got ", name, ")"));
  }
}

TEST(Device, CudaIsNeverReplacedByTheCpu) {
  if (cuda_devices()) GTEST_SKIP() << "this machine has a GPU";
  const std::string why = at::detail::getCUDAHooks().isBuilt() ? "no CUDA device on this machine" : "this build's torch has no CUDA";
  for (const char* name : {"cuda", "cuda:0", "cuda:1"}) {
    EXPECT_NE(refusal(name).find(why), std::string::npos) << refusal(name);
    EXPECT_NE(refusal(name).find("--device cpu"), std::string::npos);
  }
}

TEST(Device, AGpuThatIsNotThereIsNamed) {
  if (!cuda_devices()) GTEST_SKIP() << "needs a GPU";
  EXPECT_EQ(device_from_name("cuda:0"), c10::Device(c10::kCUDA, 0));
  EXPECT_NE(refusal("cuda:99").find("no such device"), std::string::npos);
}

}  // namespace
}  // namespace sara
