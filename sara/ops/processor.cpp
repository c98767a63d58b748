// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/processor.h"

namespace sara {

#if defined(__x86_64__)
bool has_avx512() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw"); }
bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
bool has_slow_bf16() { return is_intel() && !__builtin_cpu_supports("amx-bf16"); }
bool is_intel() { return __builtin_cpu_is("intel"); }
#else
bool has_avx512() { return false; }
bool has_avx512_bf16() { return false; }
bool has_slow_bf16() { return false; }
bool is_intel() { return false; }
#endif

}  // namespace sara
