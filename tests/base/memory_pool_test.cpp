// SPDX-License-Identifier: Apache-2.0
#include "sara/base/memory_pool.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr size_t kCapacity = size_t{64} << 20;

// How many of the whole pages in [at, at + bytes) the system holds memory for.
size_t resident_pages(const void* at, size_t bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = (reinterpret_cast<uintptr_t>(at) + page - 1) / page * page, last = (reinterpret_cast<uintptr_t>(at) + bytes) / page * page;
  std::vector<unsigned char> flags((last - first) / page);
  EXPECT_EQ(mincore(reinterpret_cast<void*>(first), last - first, flags.data()), 0);
  return static_cast<size_t>(std::accumulate(flags.begin(), flags.end(), size_t{0}, [](size_t sum, unsigned char flag) { return sum + (flag & 1u); }));
}

RC_GTEST_PROP(MemoryPool, BlocksKeepWhatIsWrittenAndNeverOverlap, (const std::vector<std::pair<bool, uint32_t>>& moves)) {
  MemoryPool pool(kCapacity);
  struct Block {
    unsigned char* at;
    size_t bytes;
    unsigned char filled;
  };
  std::vector<Block> blocks;
  const auto check = [](const Block& block) {
    for (size_t i = 0; i < block.bytes; ++i)
      if (block.at[i] != block.filled) return false;
    return true;
  };
  unsigned char next = 0;
  for (const auto& [takes, number] : moves) {
    if (takes || blocks.empty()) {
      const size_t bytes = number % 200'000;
      auto* const at = static_cast<unsigned char*>(pool.take(bytes));
      const bool fits = at && pool.holds(at) && reinterpret_cast<uintptr_t>(at) % 64 == 0;
      RC_ASSERT(fits);
      std::memset(at, ++next, bytes);
      blocks.push_back({at, bytes, next});
    } else {
      const size_t which = number % blocks.size();
      RC_ASSERT(check(blocks[which]));
      pool.give_back(blocks[which].at);
      blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(which));
    }
    size_t taken = 0;
    for (const Block& block : blocks) taken += std::max<size_t>(1, (block.bytes + 63) / 64) * 64;
    RC_ASSERT(pool.taken() == taken && pool.most_taken() >= taken && pool.extent() >= taken);
  }
  for (const Block& block : blocks) {
    RC_ASSERT(check(block));
    pool.give_back(block.at);
  }
  RC_ASSERT(pool.taken() == 0u);
  RC_ASSERT((pool.take(pool.capacity()) != nullptr));  // every hole has become one again
}

TEST(MemoryPool, TakesTheSmallestHoleThatIsLargeEnough) {
  MemoryPool pool(kCapacity);
  void* const large = pool.take(3 << 20);
  void* const wall = pool.take(64);
  void* const small = pool.take(1 << 20);
  void* const end = pool.take(64);
  pool.give_back(large);
  pool.give_back(small);
  EXPECT_EQ(pool.take(1 << 20), small);
  EXPECT_EQ(pool.take(1 << 20), large);  // the lower end of the hole that is left
  pool.give_back(wall);
  pool.give_back(end);
}

TEST(MemoryPool, GivesNothingWhenNoHoleIsLargeEnough) {
  MemoryPool pool(kCapacity);
  EXPECT_EQ(pool.take(pool.capacity() + 1), nullptr);
  EXPECT_EQ(pool.take(SIZE_MAX), nullptr);
  void* const most = pool.take(pool.capacity() - 64);
  ASSERT_NE(most, nullptr);
  EXPECT_EQ(pool.take(65), nullptr);
  EXPECT_NE(pool.take(64), nullptr);
}

TEST(MemoryPool, AddressesThatTheSystemRefusesLeaveItEmpty) {
  MemoryPool pool(size_t{1} << 62);
  EXPECT_EQ(pool.capacity(), 0u);
  EXPECT_EQ(pool.take(1), nullptr);
  int other = 0;
  EXPECT_FALSE(pool.holds(&other));
}

TEST(MemoryPool, WhatIsNotItsOwnIsRefused) {
  MemoryPool pool(kCapacity);
  int other = 0;
  EXPECT_FALSE(pool.holds(&other));
  EXPECT_THROW(pool.give_back(&other), InternalError);
  void* const block = pool.take(100);
  pool.give_back(block);
  EXPECT_THROW(pool.give_back(block), InternalError);
}

TEST(MemoryPool, KeepsFreeMemoryWarmUntilItIsReleased) {
  MemoryPool pool(kCapacity);
  constexpr size_t kBytes = 8 << 20;
  void* const block = pool.take(kBytes);
  void* const next = pool.take(1 << 20);
  std::memset(block, 1, kBytes);
  std::memset(next, 2, 1 << 20);
  const size_t pages = resident_pages(block, kBytes);
  pool.give_back(block);
  EXPECT_EQ(resident_pages(block, kBytes), pages);
  pool.release(kBytes + 64);  // the hole is smaller
  EXPECT_EQ(resident_pages(block, kBytes), pages);
  pool.release(kBytes);
  EXPECT_EQ(resident_pages(block, kBytes), 0u);
  EXPECT_EQ(static_cast<unsigned char*>(next)[0], 2);
  EXPECT_EQ(pool.take(kBytes), block);
  std::memset(block, 3, kBytes);
}

TEST(MemoryPool, ServesManyThreads) {
  MemoryPool pool(kCapacity);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&pool, thread] {
      for (int i = 0; i < 2000; ++i) {
        auto* const block = static_cast<int*>(pool.take(40'000));
        block[0] = block[9'999] = thread;
        EXPECT_TRUE(block[0] == thread && block[9'999] == thread);
        pool.give_back(block);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.taken(), 0u);
}

}  // namespace
}  // namespace sara
