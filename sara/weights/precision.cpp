// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/precision.h"

#include <array>
#include <utility>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr std::array<std::pair<DType, c10::ScalarType>, 12> kTypes{{
    {DType::BOOL, c10::kBool},
    {DType::U8, c10::kByte},
    {DType::I8, c10::kChar},
    {DType::I16, c10::kShort},
    {DType::I32, c10::kInt},
    {DType::I64, c10::kLong},
    {DType::F16, c10::kHalf},
    {DType::BF16, c10::kBFloat16},
    {DType::F32, c10::kFloat},
    {DType::F64, c10::kDouble},
    {DType::F8_E4M3, c10::kFloat8_e4m3fn},
    {DType::F8_E5M2, c10::kFloat8_e5m2},
}};

}  // namespace

std::optional<c10::ScalarType> torch_dtype(DType dtype) {
  for (const auto& [file, torch] : kTypes) {
    if (file == dtype) return torch;
  }
  return std::nullopt;
}

DType file_dtype(c10::ScalarType dtype) {
  for (const auto& [file, torch] : kTypes) {
    if (torch == dtype) return file;
  }
  throw InvalidArgument(message("element type ", c10::toString(dtype), " has no safetensors name"));
}

c10::ScalarType dtype_from_precision(const std::string& precision) {
  if (precision == "fp32" || precision == "no") return c10::kFloat;
  if (precision == "bf16") return c10::kBFloat16;
  if (precision == "fp16") return c10::kHalf;
  throw InvalidArgument(message("precision: unknown value (expected fp32, bf16 or fp16, got ", escaped(precision), ")"));
}

std::string precision_name(c10::ScalarType dtype) {
  if (dtype == c10::kFloat) return "fp32";
  if (dtype == c10::kBFloat16) return "bf16";
  if (dtype == c10::kHalf) return "fp16";
  return c10::toString(dtype);
}

}  // namespace sara
