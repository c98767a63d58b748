// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_factors.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cstring>

#include "sara/base/error.h"
#include "sara/ops/sampled_dots.h"

namespace sara {
namespace {

int64_t rounded_up(int64_t length) { return (length + kSampledLanes - 1) / kSampledLanes * kSampledLanes; }

// From one line to the next: an odd number of cache lines of 64 bytes, or equal places of many lines would compete for the
// same few places of a cache.
int64_t spaced(int64_t length, int64_t element_size) {
  const int64_t cache_lines = (length * element_size + 63) / 64;
  return (cache_lines | 1) * 64 / element_size;
}

// lines[c, t] = tokens[t, c], block by block, zeros from `count` to `length`.
template <class T>
void turn(T* lines, int64_t line, const T* tokens, int64_t count, int64_t channels, int64_t length, TurnBlock<T> turn_block) {
  constexpr int64_t kBlock = 16;
  at::parallel_for(0, (channels + kBlock - 1) / kBlock, 1, [&](int64_t first, int64_t last) {
    for (int64_t t0 = 0; t0 < count; t0 += kBlock) {
      const int64_t t1 = std::min(count, t0 + kBlock);
      for (int64_t c0 = first * kBlock; c0 < std::min(channels, last * kBlock); c0 += kBlock) {
        const int64_t c1 = std::min(channels, c0 + kBlock);
        if (t1 - t0 == kBlock && c1 - c0 == kBlock) {
          turn_block(lines + c0 * line + t0, line, tokens + t0 * channels + c0, channels);
          continue;
        }
        for (int64_t c = c0; c < c1; ++c)
          for (int64_t t = t0; t < t1; ++t) lines[c * line + t] = tokens[t * channels + c];
      }
    }
    for (int64_t c = first * kBlock; c < std::min(channels, last * kBlock); ++c) std::memset(lines + c * line + count, 0, (length - count) * sizeof(T));
  });
}

// The same from a feature map, whose channels lie together already: positions [first, first + count) of all its pictures.
template <class T>
void cut(T* lines, int64_t line, const T* map, int64_t channels, int64_t area, int64_t first, int64_t count, int64_t length) {
  at::parallel_for(0, channels, 8, [&](int64_t begin, int64_t last) {
    for (int64_t c = begin; c < last; ++c) {
      for (int64_t t = 0; t < count;) {
        const int64_t picture = (first + t) / area, at = (first + t) % area, run = std::min(count - t, area - at);
        std::memcpy(lines + c * line + t, map + (picture * channels + c) * area + at, run * sizeof(T));
        t += run;
      }
      std::memset(lines + c * line + count, 0, (length - count) * sizeof(T));
    }
  });
}

// How the planes of one channel lie in a line: pictures one after the other, each row followed by `gap` zeros and each
// picture by `gap` rows of zeros, so that a neighbour that lies outside the picture is a zero.
struct Lines {
  int64_t batch, height, width, gap;
  int64_t row() const { return width + gap; }
  int64_t picture() const { return (height + gap) * row(); }
  int64_t extent() const { return batch * picture(); }
  int64_t lead() const { return gap * (row() + 1); }  // zeros before the first picture
};

// Every stride-th number of a picture's rows and columns, from (row, column), into one line.
template <class T>
void lay_out(T* line, const T* picture, const Lines& lines, int64_t height, int64_t width, int64_t row, int64_t column, int64_t stride) {
  for (int64_t h = row, to = 0; h < height; h += stride, ++to) {
    T* out = line + to * lines.row();
    const T* in = picture + h * width;
    if (stride == 1)
      std::memcpy(out, in, width * sizeof(T));
    else
      for (int64_t w = column; w < width; w += stride) *out++ = in[w];
  }
}

// planes [B, C, H, W] -> [C · stride², line], zero everywhere else.
torch::Tensor laid_out(const torch::Tensor& planes, const Lines& lines, int64_t stride, int64_t lead, int64_t line) {
  const torch::Tensor from = planes.to(sampled_dtype(planes.scalar_type())).contiguous();
  const int64_t batch = from.size(0), channels = from.size(1), height = from.size(2), width = from.size(3), phases = stride * stride;
  const torch::Tensor out = torch::zeros({channels * phases, line}, from.options());
  const auto copy = [&]<class T>(T* to, const T* source) {
    at::parallel_for(0, channels, 1, [&](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; ++c)
        for (int64_t b = 0; b < batch; ++b)
          for (int64_t phase = 0; phase < phases; ++phase)
            lay_out(to + (c * phases + phase) * line + lead + b * lines.picture(), source + (b * channels + c) * height * width, lines, height, width,
                    phase / stride, phase % stride, stride);
    });
  };
  if (from.scalar_type() == torch::kBFloat16)
    copy(static_cast<uint16_t*>(out.data_ptr()), static_cast<const uint16_t*>(from.const_data_ptr()));
  else
    copy(out.data_ptr<float>(), from.const_data_ptr<float>());
  return out;
}

}  // namespace

TokenOperand::TokenOperand(const torch::Tensor& tokens)
    : tokens_(tokens.reshape({-1, tokens.size(-1)}).contiguous()), count_(tokens_.size(0)), channels_(tokens_.size(1)) {}

TokenOperand TokenOperand::of_map(const torch::Tensor& map) {
  TokenOperand operand;
  operand.map_ = map.contiguous();
  operand.channels_ = map.size(1);
  operand.count_ = map.numel() / map.size(1);
  return operand;
}

const torch::Tensor& TokenOperand::tokens() {
  if (!tokens_.defined()) tokens_ = map_.flatten(2).transpose(1, 2).reshape({-1, channels_});
  return tokens_;
}

torch::Tensor TokenOperand::lines(int64_t first, int64_t end, torch::Tensor& memory) const {
  RECORD_FUNCTION("sara::token_lines", {});
  const torch::Tensor& given = map_.defined() ? map_ : tokens_;
  const torch::Tensor from = given.to(sampled_dtype(given.scalar_type()));
  const int64_t count = end - first, length = rounded_up(count), line = spaced(length, from.element_size());
  if (!memory.defined() || memory.numel() < channels_ * line) memory = torch::empty({channels_ * line}, from.options());
  const torch::Tensor out = memory.narrow(0, 0, channels_ * line).view({channels_, line});
  const auto fill_from = [&]<class T>(T* to, const T* source, TurnBlock<T> turn_block) {
    if (map_.defined())
      cut(to, line, source, channels_, from.size(0) ? count_ / from.size(0) : 1, first, count, length);
    else
      turn(to, line, source + first * channels_, count, channels_, length, turn_block);
  };
  if (from.scalar_type() == torch::kBFloat16)
    fill_from(static_cast<uint16_t*>(out.data_ptr()), static_cast<const uint16_t*>(from.const_data_ptr()), turn_block_bf16());
  else
    fill_from(out.data_ptr<float>(), from.const_data_ptr<float>(), turn_block_f32());
  return out.narrow(1, 0, length);
}

void sampled_linear_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const TokenOperand& gradient, const TokenOperand& input) {
  constexpr int64_t kTokens = 2 * kDotsLength;
  torch::Tensor left, right;
  for (int64_t first = 0; first < gradient.count(); first += kTokens) {
    const int64_t end = std::min(gradient.count(), first + kTokens);
    SampledFactors factors{gradient.lines(first, end, left), input.lines(first, end, right), {}, rounded_up(end - first)};
    for (int64_t c = 0; c < input.channels(); ++c) factors.column_starts.push_back(c * factors.right.stride(0));
    sampled_matmul_add_(out, indices, row_starts, factors);
  }
}

std::optional<SampledFactors> convolution_factors(const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape) {
  RECORD_FUNCTION("sara::convolution_factors", {});
  const int64_t stride = shape.stride, channels = input.size(1), out_height = gradient.size(2), out_width = gradient.size(3);
  const auto divided_down = [stride](int64_t value) { return value >= 0 ? value / stride : -((stride - 1 - value) / stride); };
  const int64_t lowest = divided_down(-shape.padding), highest = divided_down(shape.kernel - 1 - shape.padding);
  const Lines lines{gradient.size(0), out_height, out_width, std::max(-lowest, highest)};
  const auto fits = [stride](int64_t in, int64_t out) { return (in + stride - 1) / stride <= out; };
  if (!fits(input.size(2), out_height) || !fits(input.size(3), out_width)) return std::nullopt;

  const int64_t size = at::elementSize(sampled_dtype(input.scalar_type()));
  const int64_t length = rounded_up(lines.extent()), line = spaced(length + 2 * lines.lead(), size);
  SampledFactors factors{laid_out(gradient, lines, 1, 0, spaced(length, size)), laid_out(input, lines, stride, lines.lead(), line), {}, length};
  factors.column_starts.reserve(channels * shape.kernel * shape.kernel);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t kh = 0; kh < shape.kernel; ++kh) {
      for (int64_t kw = 0; kw < shape.kernel; ++kw) {
        const int64_t row = divided_down(kh - shape.padding), column = divided_down(kw - shape.padding);
        const int64_t phase = (kh - shape.padding - row * stride) * stride + (kw - shape.padding - column * stride);
        factors.column_starts.push_back((c * stride * stride + phase) * line + lines.lead() + row * lines.row() + column);
      }
    }
  }
  return factors;
}

}  // namespace sara
