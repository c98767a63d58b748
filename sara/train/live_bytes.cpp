// SPDX-License-Identifier: Apache-2.0
#include "sara/train/live_bytes.h"

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <atomic>

namespace sara {

struct LiveBytes::Reporter : c10::MemoryReportingInfoBase {
  explicit Reporter(c10::Device device) : counted(device) {}
  c10::Device counted;
  std::atomic<int64_t> live{0};
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device device) override {
    if (device.type() == counted.type() && (device.is_cpu() || device.index() == counted.index())) live += size;
  }
  bool memoryProfilingEnabled() const override { return true; }
};

LiveBytes::LiveBytes(c10::Device device) : reporter_(std::make_shared<Reporter>(device)) {
  c10::ThreadLocalDebugInfo::_push(c10::DebugInfoKind::PROFILER_STATE, reporter_);
}

LiveBytes::~LiveBytes() { c10::ThreadLocalDebugInfo::_pop(c10::DebugInfoKind::PROFILER_STATE); }

int64_t LiveBytes::now() const { return reporter_->live; }

}  // namespace sara
