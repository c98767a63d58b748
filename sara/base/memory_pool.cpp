// SPDX-License-Identifier: Apache-2.0
#include "sara/base/memory_pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr size_t kAlignment = 64, kHugePage = size_t{2} << 20;
constexpr size_t kOpened = size_t{64} << 20;  // of the range at a time

size_t rounded_to(size_t multiple, size_t bytes) { return (bytes + multiple - 1) / multiple * multiple; }

}  // namespace

MemoryPool::MemoryPool(size_t capacity) : capacity_(rounded_to(kOpened, capacity)) {
  range_ = mmap(nullptr, capacity_ + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range_ == MAP_FAILED) {
    range_ = nullptr;
    capacity_ = 0;
    return;
  }
  base_ = static_cast<char*>(range_) + (rounded_to(kHugePage, reinterpret_cast<uintptr_t>(range_)) - reinterpret_cast<uintptr_t>(range_));
#if defined(MADV_HUGEPAGE)
  madvise(base_, capacity_, MADV_HUGEPAGE);  // refused where the kernel has none: then pages are small
#endif
  add_hole(base_, capacity_);
}

MemoryPool::~MemoryPool() {
  if (range_) munmap(range_, capacity_ + kHugePage);
}

void MemoryPool::add_hole(char* at, size_t size) {
  holes_.emplace(at, size);
  by_size_.emplace(size, at);
}

void MemoryPool::remove_hole(Holes::iterator hole) {
  by_size_.erase({hole->second, hole->first});
  holes_.erase(hole);
}

// Addresses become memory that may be used only as far as blocks have come: reserving costs nothing, however strict the system counts.
bool MemoryPool::open_up_to(size_t extent) {
  if (extent <= opened_) return true;
  const size_t wanted = rounded_to(kOpened, extent);
  if (mprotect(base_ + opened_, wanted - opened_, PROT_READ | PROT_WRITE) != 0) return false;
  opened_ = wanted;
  return true;
}

void* MemoryPool::take(size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > capacity_) return nullptr;
  const size_t size = rounded_to(kAlignment, std::max<size_t>(bytes, 1));
  const auto smallest = by_size_.lower_bound({size, nullptr});
  if (smallest == by_size_.end()) return nullptr;
  const auto [hole_size, at] = *smallest;
  const size_t end = static_cast<size_t>(at - base_) + size;
  if (!open_up_to(end)) return nullptr;
  remove_hole(holes_.find(at));
  if (hole_size > size) add_hole(at + size, hole_size - size);
  blocks_.emplace(at, size);
  taken_ += size;
  most_taken_ = std::max(most_taken_, taken_);
  extent_ = std::max(extent_, end);
  return at;
}

void MemoryPool::give_back(void* block) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(block);
  SARA_CHECK(found != blocks_.end(), "memory given back that was not taken");
  char* at = static_cast<char*>(block);
  size_t size = found->second;
  taken_ -= size;
  blocks_.erase(found);
  if (const auto above = holes_.find(at + size); above != holes_.end()) {
    size += above->second;
    remove_hole(above);
  }
  auto below = holes_.lower_bound(at);
  if (below != holes_.begin() && (--below)->first + below->second == at) {
    at = below->first;
    size += below->second;
    remove_hole(below);
  }
  add_hole(at, size);
}

bool MemoryPool::holds(const void* address) const {
  const auto at = reinterpret_cast<uintptr_t>(address), first = reinterpret_cast<uintptr_t>(base_);
  return at >= first && at - first < capacity_;
}

void MemoryPool::release(size_t at_least) {
  const std::lock_guard lock(mutex_);
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t used_until = reinterpret_cast<uintptr_t>(base_) + extent_;
  for (auto hole = by_size_.lower_bound({at_least, nullptr}); hole != by_size_.end(); ++hole) {
    const auto begin = reinterpret_cast<uintptr_t>(hole->second), end = std::min(begin + hole->first, used_until);
    const uintptr_t first = rounded_to(page, begin), last = end / page * page;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
}

size_t MemoryPool::taken() const {
  const std::lock_guard lock(mutex_);
  return taken_;
}

size_t MemoryPool::most_taken() const {
  const std::lock_guard lock(mutex_);
  return most_taken_;
}

size_t MemoryPool::extent() const {
  const std::lock_guard lock(mutex_);
  return extent_;
}

}  // namespace sara
