// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/processor.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sara {

#if defined(__x86_64__)
namespace {

// The registers' numbers are 8 KB of every thread's state: Linux keeps them for a process that has asked (Documentation/arch/x86/xstate.rst).
bool may_use_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace

bool has_avx512() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"); }
bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
bool has_slow_bf16() { return is_intel() && !__builtin_cpu_supports("amx-bf16"); }
bool has_tiles() {
  static const bool has = has_avx512_bf16() && __builtin_cpu_supports("amx-bf16") && may_use_tiles();
  return has;
}
bool is_intel() { return __builtin_cpu_is("intel"); }
#else
bool has_avx512() { return false; }
bool has_avx512_bf16() { return false; }
bool has_slow_bf16() { return false; }
bool has_tiles() { return false; }
bool is_intel() { return false; }
#endif

}  // namespace sara
