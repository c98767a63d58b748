// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sara {

// Products of bf16 matrices in the processor's tile registers (AMX), where has_tiles() (processor.h) says so: a tile is sixteen rows of sixteen words, a
// word a pair of bf16 numbers or an fp32 sum. They take what they multiply in an order of their own, which the two functions below lay out. As the processor
// does it: sums in fp32; denormal numbers, and sums, are zeros.
constexpr int64_t kTileSide = 16;              // rows, or columns, of a tile
constexpr int64_t kTileStep = 32;              // numbers of each of them; lengths are multiples of it
constexpr int64_t kTileBlock = 2 * kTileSide;  // rows, and columns, that are multiplied together

void lay_out_tiles();
void release_tiles();

// While one lives, the registers of its thread may be used, and are laid out for block_product().
class TileRegisters {
 public:
  TileRegisters() { lay_out_tiles(); }
  ~TileRegisters() { release_tiles(); }
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

// kTileBlock rows: to[i / kTileStep][r][i % kTileStep] = rows[r · stride + i] for i < length; zeros from row `count` on.
void lay_tile_rows(uint16_t* to, const uint16_t* rows, int64_t stride, int64_t count, int64_t length);

// kTileSide columns: to[p][c] = numbers 2 p and 2 p + 1 of columns + c · stride, for 2 p < length; zeros from column `count` on.
void lay_tile_columns(uint32_t* to, const uint16_t* columns, int64_t stride, int64_t count, int64_t length);

// sums[r · kTileBlock + c] = sum over i < length of row r [i] · column c [i]. `left` and `right` are of sixteen columns each; without `right`, a null pointer,
// the right half of `sums` is left alone.
void block_product(float* sums, const uint16_t* rows, const uint32_t* left, const uint32_t* right, int64_t length);

// c[r, n] (+)= sum over w < words of a[r, w] · b[w, n], each word a pair, for any number of rows and words and 16 · registers columns. The registers are laid out
// anew, for no other function here.
void word_product(float* c, int64_t c_row, const uint32_t* a, int64_t a_row, const uint32_t* b, int64_t b_row, int64_t rows, int64_t registers, int64_t words, bool adds);

// Adds products that are wanted to the sums of their entries: out[e] += sums[places[indices[e] - first]] for every entry e < count before the first one whose
// index is first + columns or more; returns how many those are. Indices ascend from `first` on.
int64_t add_wanted(float* out, const int32_t* indices, int64_t count, int32_t first, int32_t columns, const int32_t* places, const float* sums);

}  // namespace sara
