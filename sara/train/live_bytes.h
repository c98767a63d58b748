// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <memory>

namespace sara {

// Counts the tensor memory of a device that this thread has allocated and not freed while the object lives: the difference
// over a forward pass is what autograd keeps for the backward pass.
class LiveBytes {
 public:
  explicit LiveBytes(c10::Device device = c10::kCPU);
  ~LiveBytes();
  LiveBytes(const LiveBytes&) = delete;
  LiveBytes& operator=(const LiveBytes&) = delete;
  int64_t now() const;  // since construction; may be negative when older memory was freed

 private:
  struct Reporter;
  std::shared_ptr<Reporter> reporter_;
};

}  // namespace sara
