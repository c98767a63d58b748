// SPDX-License-Identifier: Apache-2.0
#include "sara/base/error.h"
#include "sara/distributed/gloo_backend.h"

namespace sara {

c10::intrusive_ptr<c10d::Backend> gloo_backend(const c10::intrusive_ptr<c10d::Store>&, int, int size, std::chrono::milliseconds) {
  throw InvalidArgument(message("WORLD_SIZE: ", size, " processes, but this build's torch has no Gloo. Fix: build against a torch with it, or train in one process"));
}

}  // namespace sara
