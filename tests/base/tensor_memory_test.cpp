// SPDX-License-Identifier: Apache-2.0
#include "sara/base/tensor_memory.h"

#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <fstream>
#include <string>

namespace sara {
namespace {

int64_t resident_bytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.rfind("VmRSS:", 0) == 0) return std::stoll(line.substr(6)) * 1024;
  return 0;
}

// The switch is for the life of the process: one test for before and after.
TEST(TensorMemory, TensorsOfAnySizeLiveOnAcrossTheSwitch) {
  const torch::Tensor before = torch::arange(1 << 20);
  EXPECT_STREQ(tensor_memory(), "libtorch");
  pool_tensor_memory();
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  EXPECT_STREQ(tensor_memory(), "libtorch");
#else
  EXPECT_STREQ(tensor_memory(), "pool");
#endif
  pool_tensor_memory();  // again: nothing happens
  EXPECT_EQ(before.sum().item<int64_t>(), (int64_t{1} << 19) * ((1 << 20) - 1));
  for (const int64_t count : {0, 1, 1000, 1 << 20}) {
    torch::Tensor tensor = torch::arange(count);
    EXPECT_EQ(tensor.sum().item<int64_t>(), count * (count - 1) / 2);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 64, 0u);
    tensor.resize_({2 * count + 1});  // moves to another block
    EXPECT_EQ(tensor.narrow(0, 0, count).sum().item<int64_t>(), count * (count - 1) / 2);
  }
  c10::Allocator* const allocator = c10::GetCPUAllocator();
  for (const size_t bytes : {100, 1 << 20}) allocator->raw_deallocate(allocator->raw_allocate(bytes));
  EXPECT_THROW(torch::empty({int64_t{1} << 50}), c10::Error);  // libtorch's own message
}

TEST(TensorMemory, FreeMemoryGoesBackWhenItIsAskedTo) {
  pool_tensor_memory();
  constexpr int64_t kBytes = 200 << 20;
  torch::Tensor large = torch::ones({kBytes}, torch::kByte);
  const int64_t full = resident_bytes();
  large = torch::Tensor();
  give_back_free_memory();
  EXPECT_LT(resident_bytes(), full - kBytes * 9 / 10);
}

}  // namespace
}  // namespace sara
