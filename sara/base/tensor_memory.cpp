// SPDX-License-Identifier: Apache-2.0
#include "sara/base/tensor_memory.h"

#include <c10/core/CPUAllocator.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdlib>  // which defines __GLIBC__
#include <cstring>

#include "sara/base/memory_pool.h"

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace sara {
namespace {

constexpr size_t kSmallest = 32 << 10;   // of the pool's tensors
constexpr size_t kSpare = size_t{1} << 20;  // a smaller hole is not worth the call

MemoryPool* pool = nullptr;  // never destroyed: tensors may outlive everything

struct PooledTensors final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* const block = bytes < kSmallest ? nullptr : pool->take(bytes);
    if (!block) return c10::GetDefaultCPUAllocator()->allocate(bytes);
    c10::profiledCPUMemoryReporter().New(block, bytes);
    return {block, block, &give_back, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t count) const override { std::memcpy(to, from, count); }

  static void give_back(void* block) {
    if (!pool->holds(block)) return c10::GetDefaultCPUAllocator()->raw_deleter()(block);
    c10::profiledCPUMemoryReporter().Delete(block);
    pool->give_back(block);
  }
};

bool under_a_sanitizer() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

}  // namespace

void pool_tensor_memory() {
  if (pool || under_a_sanitizer()) return;
  auto* const made = new MemoryPool(static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  if (made->capacity() == 0) {
    delete made;
    return;
  }
  pool = made;
  pthread_atfork([] { pool->lock(); }, [] { pool->unlock(); }, [] { pool->unlock(); });
  c10::SetCPUAllocator(new PooledTensors, /*priority=*/1);
}

const char* tensor_memory() { return pool ? "pool" : "libtorch"; }

void give_back_free_memory() {
  if (pool) pool->release(kSpare);
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

}  // namespace sara
