// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/arguments.h"

#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace sara::cuda {

// Through c10's device interface, which any torch has: the same library serves a torch with CUDA and one without.
Stream stream_of(const torch::Tensor& tensor) {
  if (!tensor.is_cuda()) return {-1, nullptr};  // the emulated device
  const c10::Stream stream = c10::impl::VirtualGuardImpl(tensor.device().type()).getStream(tensor.device());
  return {stream.device_index(), stream.native_handle()};
}

}  // namespace sara::cuda
