// SPDX-License-Identifier: Apache-2.0
#include "sara/files/resize.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr int kFractionBits = 22;

double triangle(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0; }

struct Kernel {
  double (*weight)(double);
  double support;
};

Kernel kernel(Filter filter) {
  switch (filter) {
    case Filter::bilinear:
      return {triangle, 1.0};
    case Filter::bicubic:
      return {cubic, 2.0};
    case Filter::lanczos:
      return {lanczos, 3.0};
  }
  throw InternalError("no such resize filter");
}

// The input pixels [begin, begin + weights.size()) of one output pixel.
struct Taps {
  int64_t begin;
  std::vector<int32_t> weights;  // times 2^22
};

// Half goes away from zero. Adding and truncating is what Pillow does; std::round differs where the addition rounds.
int32_t fixed_point(double value) {
  value *= 1 << kFractionBits;
  return static_cast<int32_t>(value < 0 ? value - 0.5 : value + 0.5);
}

std::vector<Taps> taps(int64_t in, int64_t out, Filter filter) {
  const auto [weight, unit_support] = kernel(filter);
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double filter_scale = std::max(scale, 1.0);
  const double support = unit_support * filter_scale;
  const double inverse = 1.0 / filter_scale;
  std::vector<Taps> all(static_cast<size_t>(out));
  std::vector<double> real;
  for (int64_t x = 0; x < out; ++x) {
    const double centre = (static_cast<double>(x) + 0.5) * scale;
    const int64_t begin = std::max<int64_t>(0, static_cast<int64_t>(centre - support + 0.5));
    const int64_t end = std::min<int64_t>(in, static_cast<int64_t>(centre + support + 0.5));
    real.clear();
    double sum = 0.0;
    for (int64_t i = begin; i < end; ++i) {
      real.push_back(weight((static_cast<double>(i) - centre + 0.5) * inverse));
      sum += real.back();
    }
    Taps& result = all[static_cast<size_t>(x)];
    result.begin = begin;
    for (const double value : real)
      result.weights.push_back(fixed_point(sum != 0.0 ? value / sum : value));
  }
  return all;
}

// Sums fit 32 bits: the weights' absolute values add up to less than 2, so a sum stays below 2 * 255 * 2^22 < 2^31.
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255)); }

Image resize_rows(const Image& image, int64_t width, Filter filter) {
  const std::vector<Taps> columns = taps(image.width, width, filter);
  Image out{width, image.height, std::vector<uint8_t>(static_cast<size_t>(width * image.height * 3))};
  uint8_t* target = out.pixels.data();
  for (int64_t y = 0; y < image.height; ++y) {
    const uint8_t* const row = image.pixels.data() + y * image.width * 3;
    for (const Taps& column : columns) {
      int32_t sum[3] = {kHalf, kHalf, kHalf};
      const uint8_t* pixel = row + column.begin * 3;
      for (const int32_t weight : column.weights) {
        for (int c = 0; c < 3; ++c) sum[c] += weight * pixel[c];
        pixel += 3;
      }
      for (int c = 0; c < 3; ++c) *target++ = to_byte(sum[c]);
    }
  }
  return out;
}

Image resize_columns(const Image& image, int64_t height, Filter filter) {
  const std::vector<Taps> rows = taps(image.height, height, filter);
  const size_t row_bytes = static_cast<size_t>(image.width * 3);
  Image out{image.width, height, std::vector<uint8_t>(row_bytes * static_cast<size_t>(height))};
  std::vector<int32_t> sum(row_bytes);
  uint8_t* target = out.pixels.data();
  for (const Taps& row : rows) {
    std::fill(sum.begin(), sum.end(), kHalf);
    const uint8_t* source = image.pixels.data() + static_cast<size_t>(row.begin) * row_bytes;
    for (const int32_t weight : row.weights) {
      for (size_t i = 0; i < row_bytes; ++i) sum[i] += weight * source[i];
      source += row_bytes;
    }
    for (size_t i = 0; i < row_bytes; ++i) *target++ = to_byte(sum[i]);
  }
  return out;
}

}  // namespace

Image resize(const Image& image, int64_t width, int64_t height, Filter filter) {
  int64_t pixels = 0;
  if (width < 1 || height < 1 || __builtin_mul_overflow(width, height, &pixels) || pixels > kMostPixels)
    throw InvalidArgument(message("resize: impossible size (expected 1 to ", kMostPixels, " pixels, got ", width, " x ", height, ")"));
  if (image.width < 1 || image.height < 1 ||
      image.pixels.size() != static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3)
    throw InvalidArgument(message("resize: an image of ", image.width, " x ", image.height, " cannot have ",
                                  image.pixels.size(), " bytes"));
  if (width == image.width) return height == image.height ? image : resize_columns(image, height, filter);
  // Between the passes the image has the new width and the old height.
  if (__builtin_mul_overflow(width, image.height, &pixels) || pixels > kMostPixels)
    throw InvalidArgument(message("resize: ", image.width, " x ", image.height, " to ", width, " x ", height,
                                  " passes through too large an image (", width, " x ", image.height, ")"));
  const Image wide = resize_rows(image, width, filter);
  return height == image.height ? wide : resize_columns(wide, height, filter);
}

}  // namespace sara
