// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/launch.h"

#include "sara/base/error.h"

namespace sara::cuda {

void throw_launch_error(const char* code, int device) { throw InternalError(message("a CUDA kernel was refused on device ", device, ": ", code)); }

}  // namespace sara::cuda
