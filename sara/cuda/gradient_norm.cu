// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/gradient_norm.cuh"

#include "sara/cuda/launch.cuh"

namespace sara::cuda {

template void launch(const SquaresOfChunks&, int64_t, const Stream&);
template void launch(const NormAndClip&, int64_t, const Stream&);

}  // namespace sara::cuda
