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

// How the planes of one channel lie in a line: pictures one after the other, their rows without a space between, each picture followed by `gap`
// rows of zeros, so that a neighbour above or below the picture is a zero. Neighbours to the left and right are another line.
struct Lines {
  int64_t batch, height, width, gap;
  int64_t picture() const { return (height + gap) * width; }
  int64_t extent() const { return batch * picture(); }
  int64_t lead() const { return gap * width; }  // zeros before the first picture
};

// [B, C, H, W] with H · W of `lines` -> [C, line], in the type of sampled_dtype().
torch::Tensor gradient_lines(const torch::Tensor& planes, const Lines& lines, int64_t line) {
  const int64_t channels = planes.size(1), area = lines.height * lines.width;
  const torch::Tensor out = torch::empty({channels, line}, planes.options());
  const auto fill = [&]<class T>(T* to, const T* from) {
    at::parallel_for(0, channels, 1, [&](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; ++c) {
        T* next = to + c * line;
        for (int64_t b = 0; b < lines.batch; ++b) {
          next = std::copy_n(from + (b * channels + c) * area, area, next);
          next = std::fill_n(next, lines.lead(), T{});
        }
        std::fill(next, to + (c + 1) * line, T{});
      }
    });
  };
  if (planes.scalar_type() == torch::kBFloat16)
    fill(static_cast<uint16_t*>(out.data_ptr()), static_cast<const uint16_t*>(planes.const_data_ptr()));
  else
    fill(out.data_ptr<float>(), planes.const_data_ptr<float>());
  return out;
}

// to[w] = row[w · stride + shift] for w < width, zero where that lies outside its `count` numbers.
template <class T>
void shifted_row(T* to, const T* row, int64_t count, int64_t width, int64_t stride, int64_t shift) {
  const int64_t begin = std::clamp<int64_t>((-shift + stride - 1) / stride, 0, width), end = std::clamp<int64_t>((count - shift + stride - 1) / stride, begin, width);
  std::fill(to, to + begin, T{});
  if (stride == 1)
    std::copy(row + begin + shift, row + end + shift, to + begin);
  else
    for (int64_t w = begin; w < end; ++w) to[w] = row[w * stride + shift];
  std::fill(to + end, to + width, T{});
}

// What the kernel's columns see of each row, [B, C, H', W'] -> [C · kernel · stride, line]: line (c, kw, phase) has every stride-th row from
// `phase` on, of it the numbers that column kw meets.
torch::Tensor input_lines(const torch::Tensor& planes, const Lines& lines, const ConvolutionShape& shape, int64_t line) {
  const int64_t channels = planes.size(1), height = planes.size(2), width = planes.size(3), stride = shape.stride, kinds = shape.kernel * stride;
  const torch::Tensor out = torch::empty({channels * kinds, line}, planes.options());
  const auto fill = [&]<class T>(T* to, const T* from) {
    at::parallel_for(0, channels, 1, [&](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; ++c)
        for (int64_t kind = 0; kind < kinds; ++kind) {
          const int64_t shift = kind / stride - shape.padding, phase = kind % stride, rows = height > phase ? (height - phase + stride - 1) / stride : 0;
          T* const begin = to + (c * kinds + kind) * line;
          T* next = std::fill_n(begin, lines.lead(), T{});
          for (int64_t b = 0; b < lines.batch; ++b) {
            const T* const picture = from + (b * channels + c) * height * width;
            for (int64_t h = 0; h < rows; ++h, next += lines.width) shifted_row(next, picture + (h * stride + phase) * width, width, lines.width, stride, shift);
            next = std::fill_n(next, (lines.height - rows) * lines.width + lines.lead(), T{});
          }
          std::fill(next, begin + line, T{});
        }
    });
  };
  if (planes.scalar_type() == torch::kBFloat16)
    fill(static_cast<uint16_t*>(out.data_ptr()), static_cast<const uint16_t*>(planes.const_data_ptr()));
  else
    fill(out.data_ptr<float>(), planes.const_data_ptr<float>());
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
  constexpr int64_t kTokens = 256;
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
  const int64_t stride = shape.stride, channels = input.size(1);
  const auto divided_down = [stride](int64_t value) { return value >= 0 ? value / stride : -((stride - 1 - value) / stride); };
  const int64_t lowest = divided_down(-shape.padding), highest = divided_down(shape.kernel - 1 - shape.padding);
  const Lines lines{gradient.size(0), gradient.size(2), gradient.size(3), std::max(-lowest, highest)};
  if ((input.size(2) + stride - 1) / stride > lines.height || (input.size(3) + stride - 1) / stride > lines.width) return std::nullopt;

  const auto dtype = sampled_dtype(input.scalar_type());
  const int64_t size = at::elementSize(dtype), length = rounded_up(lines.extent()), line = spaced(length + 2 * lines.lead(), size);
  SampledFactors factors{gradient_lines(gradient.to(dtype).contiguous(), lines, spaced(length, size)), input_lines(input.to(dtype).contiguous(), lines, shape, line), {}, length};
  factors.column_starts.reserve(channels * shape.kernel * shape.kernel);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t kh = 0; kh < shape.kernel; ++kh) {
      const int64_t row = divided_down(kh - shape.padding), phase = kh - shape.padding - row * stride;
      for (int64_t kw = 0; kw < shape.kernel; ++kw)
        factors.column_starts.push_back(((c * shape.kernel + kw) * stride + phase) * line + lines.lead() + row * lines.width);
    }
  }
  return factors;
}

bool sampled_convolution_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const torch::Tensor& gradient, const torch::Tensor& input,
                              const ConvolutionShape& shape) {
  constexpr int64_t kBytes = 32 << 20;  // of the input's lines
  const int64_t batch = input.size(0), picture = std::max<int64_t>(1, input.numel() / std::max<int64_t>(1, batch) * shape.kernel * input.element_size());
  const int64_t together = std::max<int64_t>(1, kBytes / picture);
  for (int64_t first = 0; first < batch; first += together) {
    const int64_t count = std::min(together, batch - first);
    const auto factors = convolution_factors(gradient.narrow(0, first, count), input.narrow(0, first, count), shape);
    if (!factors) return false;
    sampled_matmul_add_(out, indices, row_starts, *factors);
  }
  return true;
}

}  // namespace sara
