// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/adamw.cuh"

#include "sara/cuda/launch.cuh"

namespace sara::cuda {

#define SARA_FOR_TYPES(Dense, Index)                                                \
  template void launch(const AdamWPass<Dense, Index>&, int64_t, const Stream&);     \
  template void launch(const AdamWPassEightBit<Dense, Index>&, int64_t, const Stream&);

SARA_FOR_TYPES(float, int32_t)
SARA_FOR_TYPES(float, int64_t)
SARA_FOR_TYPES(BFloat16, int32_t)
SARA_FOR_TYPES(BFloat16, int64_t)
SARA_FOR_TYPES(Half, int32_t)
SARA_FOR_TYPES(Half, int64_t)

}  // namespace sara::cuda
