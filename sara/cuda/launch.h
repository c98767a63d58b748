// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sara::cuda {

// Where work is queued: a device by its number, which must be the current one, and a cudaStream_t of it.
struct Stream {
  int device;
  void* handle;
};

// Queues `blocks` blocks of a kernel. A kernel is a struct of pointers and sizes, copied to the device, with
//
//   static constexpr int kThreads      threads in a block
//   static constexpr int kPhases       after each phase but the last every thread waits for the others of its block
//   struct Shared                      memory of a block, not initialised
//   void phase(int phase, Shared&, int64_t block, int thread) const
//
// Within a phase no thread may read what another one writes in it. launch.cuh has two bodies: nvcc's, which starts a grid, and
// the C++ compiler's, which runs the same phases thread after thread (emulation.h), so that everything but the grid itself is
// tested where there is no GPU. Each kernel is instantiated in its .cu file.
template <class Kernel>
void launch(const Kernel& kernel, int64_t blocks, const Stream& stream);

// Throws InternalError. `code`: a cudaError_t in words.
[[noreturn]] void throw_launch_error(const char* code, int device);

inline int64_t blocks_for(int64_t count, int64_t each) { return (count + each - 1) / each; }

}  // namespace sara::cuda
