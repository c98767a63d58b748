// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <chrono>

namespace sara {

// c10d's Gloo backend, connected to all other ranks through the store: over the network interfaces in GLOO_SOCKET_IFNAME (a,b,...), as in
// torch, or the one this machine's name stands for. Throws InvalidArgument in a build whose torch has none, and what
// c10d throws when a rank does not come in time.
c10::intrusive_ptr<c10d::Backend> gloo_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, std::chrono::milliseconds timeout);

}  // namespace sara
