// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/launch.h"

#ifdef __CUDACC__

#include <cuda_runtime.h>

namespace sara::cuda {

template <class Kernel>
__global__ void __launch_bounds__(Kernel::kThreads) run_block(const __grid_constant__ Kernel kernel) {
  __shared__ typename Kernel::Shared shared;
  kernel.phase(0, shared, blockIdx.x, static_cast<int>(threadIdx.x));
#pragma unroll
  for (int phase = 1; phase < Kernel::kPhases; ++phase) {
    __syncthreads();
    kernel.phase(phase, shared, blockIdx.x, static_cast<int>(threadIdx.x));
  }
}

inline void require(cudaError_t code, int device) {
  if (code != cudaSuccess) throw_launch_error(cudaGetErrorString(code), device);
}

template <class Kernel>
void launch(const Kernel& kernel, int64_t blocks, const Stream& stream) {
  if (blocks <= 0) return;
  if (blocks > 0x7fffffff) throw_launch_error("more blocks than a grid holds", stream.device);
  int current = 0;
  require(cudaGetDevice(&current), stream.device);
  if (current != stream.device) throw_launch_error("another device is current", stream.device);
  run_block<<<static_cast<unsigned>(blocks), Kernel::kThreads, 0, static_cast<cudaStream_t>(stream.handle)>>>(kernel);
  require(cudaGetLastError(), stream.device);
}

}  // namespace sara::cuda

#else

#include "sara/cuda/emulation.h"

namespace sara::cuda {

template <class Kernel>
void launch(const Kernel& kernel, int64_t blocks, const Stream&) {
  emulate(kernel, blocks);
}

}  // namespace sara::cuda

#endif
