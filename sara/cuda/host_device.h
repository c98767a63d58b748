// SPDX-License-Identifier: Apache-2.0
#pragma once

// Arithmetic that runs on the device and on the host: the same source is compiled by nvcc for both and, for the emulated grid
// of emulation.h, by the C++ compiler alone.
#ifdef __CUDACC__
#define SARA_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define SARA_HOST_DEVICE inline
#endif
