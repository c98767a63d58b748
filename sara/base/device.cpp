// SPDX-License-Identifier: Apache-2.0
#include "sara/base/device.h"

#include <ATen/Context.h>

#include "sara/base/error.h"

namespace sara {

c10::Device device_from_name(const std::string& name) {
  const bool built = at::detail::getCUDAHooks().isBuilt();  // hasCUDA() asks for a device too
  const auto count = built ? at::detail::getCUDAHooks().deviceCount() : 0;
  if (name == "cpu") return c10::Device(c10::kCPU);
  if (name == "auto") return count > 0 ? c10::Device(c10::kCUDA, 0) : c10::Device(c10::kCPU);
  const bool numbered = name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() <= 7 && name.find_first_not_of("0123456789", 5) == std::string::npos;
  if (name != "cuda" && !numbered) {
    throw InvalidArgument(message("device: unknown name (expected auto, cpu, cuda or cuda:N, got ", escaped(name), ")"));
  }
  if (!built) throw InvalidArgument("device: this build's torch has no CUDA. Fix: use --device cpu, or build against a CUDA torch");
  if (count == 0) throw InvalidArgument("device: no CUDA device on this machine. Fix: use --device cpu");
  const int index = numbered ? std::stoi(name.substr(5)) : 0;
  if (index >= count) {
    throw InvalidArgument(message("device: no such device (expected index below ", int(count), ", got ", name, ")"));
  }
  return c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
}

}  // namespace sara
