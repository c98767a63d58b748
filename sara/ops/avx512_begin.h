// SPDX-License-Identifier: Apache-2.0
// From here to avx512_end.h a file is compiled for AVX-512 with bf16 products, and may name tile registers, whatever the rest is compiled
// for. Standard headers come before it: what they inline must run everywhere.
#pragma GCC push_options
#pragma GCC diagnostic push
// The compiler's own headers leave registers undefined on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("avx512f,avx512vl,avx512bw,avx512bf16,amx-tile,amx-bf16")
