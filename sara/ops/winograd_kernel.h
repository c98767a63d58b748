// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sara/ops/tile_rows.h"

namespace sara {

// Winograd's F(2 × 2, 3 × 3) in 512-bit registers: a tile of 2 × 2 results looks at 4 × 4 numbers of the padded plane; in the
// transformed space it takes 16 products a channel where the definition takes 36 (Lavin and Gray 2015, section 4.1).
//   V = Bᵀ d B of every tile d of x, U = G g Gᵀ of every kernel g, M = sum over channels of U ∘ V, y = Aᵀ M A
// Numbers of bf16 are their bits; everything between is fp32.

constexpr int64_t kWinogradPoints = 16;  // of the transformed space
constexpr int64_t kWinogradPanel = 32;   // tiles next to each other

// What passes together: a band of `rows` rows, from row `first` on, of each of some pictures. Tiles count from the band's top left; a picture's
// are rounded up to 16, all of them to a panel.
struct WinogradTiles {
  int64_t pictures, height, width;  // of the planes, even
  int64_t first, rows;              // even
  int64_t of_picture() const { return (rows / 2 * (width / 2) + 15) / 16 * 16; }
  int64_t panels() const { return (pictures * of_picture() + kWinogradPanel - 1) / kWinogradPanel; }
  int64_t row() const { return panels() * kWinogradPanel + 16; }  // numbers from row to row of M: not a power of two
};

// Which of the two dimensions of a weight [out, in, 3, 3] is summed over.
enum class WinogradPass { forward, input_gradient };

// V [16][panels][channels][32] of one channel: planes[b] is its plane in picture b, at `plane` numbers from one to the next.
// work: winograd_work_floats.
int64_t winograd_work_floats(const WinogradTiles&);
void winograd_input_avx512(const WinogradTiles&, const float* planes, int64_t plane, int64_t channel, int64_t channels, float* v, float* work);
void winograd_input_avx512(const WinogradTiles&, const uint16_t* planes, int64_t plane, int64_t channel, int64_t channels, float* v, float* work);

// Channels [first, first + rows) of the `all` of the result, each a sum over `depth` channels.
struct WinogradPart {
  WinogradPass pass;
  int64_t all, depth, first, rows;
  int64_t u_point() const { return (rows + kTileRows - 1) / kTileRows * kTileRows * (depth + 16); }  // numbers of U of one point
};

// U of the whole weight's part: [16][rows][depth + 16] (forward) or [16][rows / 14][depth][14] (input_gradient).
void winograd_kernels_avx512(const WinogradPart&, const float* weight, float* u);
void winograd_kernels_avx512(const WinogradPart&, const uint16_t* weight, float* u);

// M [16][rows][row()] = U V
void winograd_multiply_avx512(const WinogradPart&, const WinogradTiles&, const float* u, const float* v, float* m);

// y of one channel of the result, whose first number of M is m, the next point's `point` further: planes as above, written.
void winograd_output_avx512(const WinogradTiles&, const float* m, int64_t point, float bias, float* planes, int64_t plane, float* work);
void winograd_output_avx512(const WinogradTiles&, const float* m, int64_t point, float bias, uint16_t* planes, int64_t plane, float* work);

}  // namespace sara
