// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/geglu.cuh"

#include "sara/cuda/launch.cuh"

namespace sara::cuda {

#define SARA_FOR_TYPE(T)                                              \
  template void launch(const Geglu<T>&, int64_t, const Stream&);      \
  template void launch(const GegluBackward<T>&, int64_t, const Stream&);

SARA_FOR_TYPE(float)
SARA_FOR_TYPE(BFloat16)
SARA_FOR_TYPE(Half)

}  // namespace sara::cuda
