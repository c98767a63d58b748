// SPDX-License-Identifier: Apache-2.0
#include "sara/distributed/gloo_backend.h"

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <cstdlib>
#include <sstream>
#include <string>

namespace sara {

c10::intrusive_ptr<c10d::Backend> gloo_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size, std::chrono::milliseconds timeout) {
  using c10d::ProcessGroupGloo;
  auto options = ProcessGroupGloo::Options::create(timeout);
  if (const char* given = std::getenv("GLOO_SOCKET_IFNAME"); given && *given) {
    std::istringstream names(given);
    for (std::string name; std::getline(names, name, ',');) options->devices.push_back(ProcessGroupGloo::createDeviceForInterface(name));
  } else {
    options->devices.push_back(ProcessGroupGloo::createDefaultDevice());
  }
  options->threads = 2 * static_cast<int>(options->devices.size());
  return c10::make_intrusive<ProcessGroupGloo>(store, rank, size, options);
}

}  // namespace sara
