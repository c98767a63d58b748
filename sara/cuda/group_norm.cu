// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/group_norm_gradients.cuh"

#include "sara/cuda/launch.cuh"

namespace sara::cuda {

#define SARA_FOR_TYPE(T)                                                         \
  template void launch(const GroupStatistics<T>&, int64_t, const Stream&);       \
  template void launch(const GroupNormApply<T>&, int64_t, const Stream&);        \
  template void launch(const GroupNormPlaneSums<T>&, int64_t, const Stream&);    \
  template void launch(const GroupNormChannelSums<T>&, int64_t, const Stream&);  \
  template void launch(const GroupNormInputGradient<T>&, int64_t, const Stream&);

SARA_FOR_TYPE(float)
SARA_FOR_TYPE(BFloat16)
SARA_FOR_TYPE(Half)
template void launch(const GroupNormFactors&, int64_t, const Stream&);

}  // namespace sara::cuda
