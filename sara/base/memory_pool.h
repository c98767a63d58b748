// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

namespace sara {

// Memory for large blocks that come and go in every step: one reserved range of addresses, cut into blocks that lie close together.
// A block takes the smallest hole that holds it, the lowest of several; neighbouring holes become one. Memory that was given back stays with
// the process, warm, until release(): the next step meets no page that the system would have to find and clear first. The system is
// asked for huge pages. Every function may be called from any thread.
class MemoryPool {
 public:
  // Reserves addresses for so many bytes; memory is taken when a block is written to. Where the system refuses, as under a limit on
  // addresses, capacity() is 0 and take() gives nothing.
  explicit MemoryPool(size_t capacity);
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // At a multiple of 64 bytes; null when no hole is large enough or the system gives no more. What lies in it is not defined.
  void* take(size_t bytes);
  void give_back(void* block);  // one of take()

  bool holds(const void* address) const;

  // Gives the whole pages of all holes of at least so many bytes back to the system.
  void release(size_t at_least);

  // Around a fork, so that no other thread is in the middle of a change that the child would inherit.
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

  size_t capacity() const { return capacity_; }
  size_t taken() const;       // bytes in blocks now
  size_t most_taken() const;  // since the start
  size_t extent() const;      // from the start of the range to the end of the highest block so far

 private:
  using Holes = std::map<char*, size_t>;
  void add_hole(char* at, size_t size);
  void remove_hole(Holes::iterator hole);
  bool open_up_to(size_t extent);

  mutable std::mutex mutex_;
  void* range_ = nullptr;  // as mapped
  char* base_ = nullptr;   // in it, at a huge page
  size_t capacity_ = 0, opened_ = 0, taken_ = 0, most_taken_ = 0, extent_ = 0;
  std::unordered_map<void*, size_t> blocks_;
  Holes holes_;
  std::set<std::pair<size_t, char*>> by_size_;  // the holes again
};

}  // namespace sara
