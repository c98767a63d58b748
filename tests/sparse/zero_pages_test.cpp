// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/zero_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <torch/types.h>
#include <unistd.h>

#include <vector>

namespace sara {
namespace {

// Bytes of the tensor's whole pages that are in memory.
int64_t resident_bytes(const torch::Tensor& tensor) {
  const auto page = sysconf(_SC_PAGESIZE);
  const auto begin = (reinterpret_cast<intptr_t>(tensor.data_ptr()) + page - 1) / page * page;
  const auto end = (reinterpret_cast<intptr_t>(tensor.data_ptr()) + static_cast<intptr_t>(tensor.nbytes())) / page * page;
  std::vector<unsigned char> pages(static_cast<size_t>((end - begin) / page));
  EXPECT_EQ(mincore(reinterpret_cast<void*>(begin), static_cast<size_t>(end - begin), pages.data()), 0);
  int64_t count = 0;
  for (const unsigned char state : pages) count += state & 1;
  return count * page;
}

TEST(ZeroPages, ALargeBufferIsZeroAndTakesNoMemoryUntilItIsWritten) {
  const torch::Tensor tensor = torch::ones({10'000'000});
  EXPECT_GT(resident_bytes(tensor), 39'000'000);
  zero_and_release_(tensor);
  EXPECT_LT(resident_bytes(tensor), 1'000'000);
  tensor.narrow(0, 5'000'000, 3).fill_(2);
  EXPECT_EQ(tensor.sum().item<float>(), 6);
}

TEST(ZeroPages, NeighboursInTheSamePagesStay) {
  for (const int64_t count : {1, 100, 5000, 100'000}) {
    const torch::Tensor whole = torch::ones({count + 14});
    zero_and_release_(whole.narrow(0, 7, count));
    EXPECT_EQ(whole.sum().item<float>(), 14) << count;
    EXPECT_EQ(whole.narrow(0, 0, 7).sum().item<float>(), 7) << count;
  }
}

TEST(ZeroPages, ACutBufferStaysWhereItIsAndKeepsNoMoreThanItsFront) {
  const torch::Tensor tensor = torch::arange(10'000'000).to(torch::kFloat), front = cut_(tensor, 1'000'000);
  EXPECT_EQ(front.data_ptr(), tensor.data_ptr());
  EXPECT_EQ(front.sizes(), at::IntArrayRef({1'000'000}));
  EXPECT_EQ(front.storage().nbytes(), 4'000'000u);
  EXPECT_TRUE(front.equal(torch::arange(1'000'000).to(torch::kFloat)));
  EXPECT_LT(resident_bytes(tensor), 5'000'000);
  EXPECT_EQ(cut_(front, 0).numel(), 0);
}

TEST(ZeroPages, NothingIsNothing) {
  const torch::Tensor none = torch::empty({0});
  zero_and_release_(none);
  EXPECT_EQ(none.numel(), 0);
}

}  // namespace
}  // namespace sara
