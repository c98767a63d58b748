// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/winograd.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/ops/processor.h"
#include "sara/ops/tile_rows.h"
#include "sara/ops/winograd_kernel.h"

namespace sara {
namespace {

constexpr int64_t kGroupBytes = 32 << 20;  // of what passes together: transformed input, and results of a thread
constexpr int64_t kKernelBytes = 4 << 20;  // of the transformed kernels of a thread
constexpr int64_t kMostRows = 112;         // channels of the result at a time
constexpr int64_t kFewTiles = 64;          // below, transforming the weight costs more than is saved
constexpr int64_t kFewChannels = 32;

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// One side of a convolution, [B, C, H, W]: the channels of `from` are summed over, those of `to` written.
struct WinogradOperands {
  const torch::Tensor &from, &weight, &bias, &to;
  WinogradPass pass;
  int64_t given() const { return from.size(1); }
  int64_t wanted() const { return to.size(1); }
};

template <class T>
void transform_pictures(const WinogradOperands& o, const WinogradTiles& tiles, int64_t picture, float* v) {
  const int64_t area = tiles.height * tiles.width, plane = o.given() * area;
  const auto* from = static_cast<const T*>(o.from.const_data_ptr()) + picture * plane;
  at::parallel_for(0, o.given(), 8, [&](int64_t begin, int64_t end) {
    const torch::Tensor work = torch::empty({winograd_work_floats(tiles)}, torch::kFloat);
    for (int64_t channel = begin; channel < end; ++channel) winograd_input_avx512(tiles, from + channel * area, plane, channel, o.given(), v, work.data_ptr<float>());
  });
}

// Channels [first, first + rows) of the result that pass together.
int64_t rows_together(int64_t depth) { return std::clamp<int64_t>(kKernelBytes / (kWinogradPoints * depth * 4) / kTileRows, 1, kMostRows / kTileRows) * kTileRows; }

// All of the result's channels of a band of pictures, from v, the transformed band.
template <class T>
void multiply_band(const WinogradOperands& o, const WinogradTiles& tiles, int64_t picture, const torch::Tensor& bias, const float* v) {
  const int64_t area = tiles.height * tiles.width;
  at::parallel_for(0, ceil_divide(o.wanted(), kTileRows), 1, [&](int64_t begin, int64_t end) {
    const int64_t last = std::min(end * kTileRows, o.wanted()), rows = std::min(rows_together(o.given()), last - begin * kTileRows);
    const torch::Tensor u = torch::empty({kWinogradPoints * WinogradPart{o.pass, o.wanted(), o.given(), 0, rows}.u_point()}, torch::kFloat);
    const torch::Tensor m = torch::empty({kWinogradPoints, rows, tiles.row()}, torch::kFloat), work = torch::empty({winograd_work_floats(tiles)}, torch::kFloat);
    for (int64_t first = begin * kTileRows; first < last; first += rows) {
      const WinogradPart part{o.pass, o.wanted(), o.given(), first, std::min(rows, last - first)};
      winograd_kernels_avx512(part, static_cast<const T*>(o.weight.const_data_ptr()), u.data_ptr<float>());
      winograd_multiply_avx512(part, tiles, u.data_ptr<float>(), v, m.data_ptr<float>());
      for (int64_t r = 0; r < part.rows; ++r)
        winograd_output_avx512(tiles, m.data_ptr<float>() + r * tiles.row(), part.rows * tiles.row(), bias.defined() ? bias.const_data_ptr<float>()[first + r] : 0.0f,
                               static_cast<T*>(o.to.data_ptr()) + (picture * o.wanted() + first + r) * area, o.wanted() * area, work.data_ptr<float>());
    }
  });
}

// Some pictures at a time, or where one alone is large some of its rows.
template <class T>
void convolve(const WinogradOperands& o) {
  const int64_t pictures = o.from.size(0), height = o.from.size(2), width = o.from.size(3);
  const int64_t tile_row_bytes = kWinogradPoints * (o.given() + kMostRows) * (width / 2) * 4, most = std::max<int64_t>(1, kGroupBytes / tile_row_bytes);  // tile rows
  const int64_t bands = ceil_divide(height / 2, most), rows = 2 * ceil_divide(height / 2, bands);
  const int64_t together = ceil_divide(pictures, ceil_divide(pictures, std::max<int64_t>(1, most / (height / 2))));
  const torch::Tensor v = torch::empty({kWinogradPoints * WinogradTiles{together, height, width, 0, rows}.panels() * o.given() * kWinogradPanel}, torch::kFloat);
  const torch::Tensor bias = o.bias.defined() ? o.bias.to(torch::kFloat).contiguous() : o.bias;
  for (int64_t picture = 0; picture < pictures; picture += together)
    for (int64_t first = 0; first < height; first += rows) {
      const WinogradTiles tiles{std::min(together, pictures - picture), height, width, first, std::min(rows, height - first)};
      transform_pictures<T>(o, tiles, picture, v.data_ptr<float>());
      multiply_band<T>(o, tiles, picture, bias, v.data_ptr<float>());
    }
}

void convolve(const WinogradOperands& operands) {
  SARA_CHECK(operands.from.scalar_type() == operands.weight.scalar_type());
  if (operands.from.scalar_type() == torch::kFloat)
    convolve<float>(operands);
  else
    convolve<uint16_t>(operands);
}

}  // namespace

bool winograd_pays(const torch::Tensor& weight, int64_t pictures, int64_t height, int64_t width) {
  static const bool single = has_avx512(), half = has_avx512_bf16() && has_slow_bf16();
  const bool has_kernels = weight.is_cpu() && (weight.scalar_type() == torch::kFloat ? single : weight.scalar_type() == torch::kBFloat16 && half);
  return has_kernels && weight.size(2) == 3 && weight.size(3) == 3 && weight.is_contiguous() && height % 2 == 0 && width % 2 == 0 &&
         pictures * height / 2 * width / 2 >= kFewTiles && std::min(weight.size(0), weight.size(1)) >= kFewChannels;
}

torch::Tensor winograd_convolution(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  RECORD_FUNCTION("sara::winograd_convolution", {});
  const torch::Tensor from = x.detach().contiguous(), to = torch::empty({x.size(0), weight.size(0), x.size(2), x.size(3)}, from.options());
  convolve({from, weight, bias, to, WinogradPass::forward});
  return to;
}

torch::Tensor winograd_input_gradient(const torch::Tensor& gradient, const torch::Tensor& weight) {
  RECORD_FUNCTION("sara::winograd_input_gradient", {});
  const torch::Tensor from = gradient.detach().contiguous(), to = torch::empty({gradient.size(0), weight.size(1), gradient.size(2), gradient.size(3)}, from.options());
  convolve({from, weight, {}, to, WinogradPass::input_gradient});
  return to;
}

}  // namespace sara
