// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sara {

// What the processor this runs on can do: kernels written for it are chosen at run time.
bool has_avx512();       // 512-bit registers, with 16- and 32-bit lanes
bool has_avx512_bf16();  // products of pairs of bf16 numbers too
bool has_slow_bf16();    // those take longer than as many fp32 products: Intel's before AMX, as virtual machines show them too
bool has_tiles();        // products of bf16 matrices in tile registers (AMX), which the system lets this process use
bool is_intel();         // whose BLAS is torch's default and takes its fastest paths there; vector products of bf16 do no more there than fp32's

}  // namespace sara
