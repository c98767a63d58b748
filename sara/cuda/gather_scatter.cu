// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/gather_scatter.cuh"

#include "sara/cuda/launch.cuh"

namespace sara::cuda {

#define SARA_FOR_INDEX(Index)                                                             \
  template void launch(const GatherAdd<float, Index>&, int64_t, const Stream&);           \
  template void launch(const GatherAdd<BFloat16, Index>&, int64_t, const Stream&);        \
  template void launch(const GatherAdd<Half, Index>&, int64_t, const Stream&);            \
  template void launch(const Scatter<float, float, Index>&, int64_t, const Stream&);      \
  template void launch(const Scatter<BFloat16, float, Index>&, int64_t, const Stream&);   \
  template void launch(const Scatter<Half, float, Index>&, int64_t, const Stream&);       \
  template void launch(const Scatter<BFloat16, BFloat16, Index>&, int64_t, const Stream&); \
  template void launch(const Scatter<Half, Half, Index>&, int64_t, const Stream&);

SARA_FOR_INDEX(int32_t)
SARA_FOR_INDEX(int64_t)

}  // namespace sara::cuda
