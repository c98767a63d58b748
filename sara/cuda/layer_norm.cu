// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/layer_norm.cuh"

#include "sara/cuda/launch.cuh"

namespace sara::cuda {

#define SARA_FOR_TYPE(T)                                                         \
  template void launch(const TokenStatistics<T>&, int64_t, const Stream&);       \
  template void launch(const LayerNormApply<T>&, int64_t, const Stream&);        \
  template void launch(const LayerNormInputGradient<T>&, int64_t, const Stream&); \
  template void launch(const LayerNormColumnSums<T>&, int64_t, const Stream&);

SARA_FOR_TYPE(float)
SARA_FOR_TYPE(BFloat16)
SARA_FOR_TYPE(Half)

}  // namespace sara::cuda
