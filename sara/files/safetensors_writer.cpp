// SPDX-License-Identifier: Apache-2.0
#include "sara/files/safetensors_writer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"
#include "sara/files/json.h"
#include "sara/files/safetensors_header.h"

namespace sara {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian and written as it lies in memory");

std::string quoted(const std::string& text, const std::string& path) {
  try {
    return Json(text).dump();
  } catch (const Json::type_error&) {
    throw InvalidArgument(message(escaped(path), ": \"", escaped(text), "\" is not UTF-8"));
  }
}

void check(const TensorSource& tensor, const std::string& path) {
  const auto refuse = [&](const std::string& reason) {
    throw InvalidArgument(message(escaped(path), ": tensor \"", escaped(tensor.name), "\" ", reason));
  };
  if (const auto defect = name_defect(tensor.name)) refuse("has a name that " + *defect);
  if (tensor.name == "__metadata__") refuse("has the name that the format keeps for metadata");
  const std::optional<uint64_t> bytes = tensor_bytes(tensor.dtype, tensor.shape);
  if (!bytes) refuse("has an impossible shape (negative, past 2^48 elements, or no whole number of bytes)");
  SARA_CHECK(tensor.data != nullptr || tensor.fill || *bytes == 0, "no data for tensor ", tensor.name);
}

std::string header_text(const std::vector<TensorSource>& tensors, const std::map<std::string, std::string>& metadata,
                        const std::string& path) {
  std::string text = "{";
  const auto separate = [&text] {
    if (text.back() != '{') text += ',';
  };
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      separate();
      text += quoted(key, path) + ":" + quoted(value, path);
    }
    text += "}";
  }
  uint64_t begin = 0;
  for (const TensorSource& tensor : tensors) {
    uint64_t end = 0;
    if (__builtin_add_overflow(begin, *tensor_bytes(tensor.dtype, tensor.shape), &end))
      throw InvalidArgument(escaped(path) + ": the tensors hold more than 2^64 bytes");
    separate();
    text += message(quoted(tensor.name, path), ":{\"dtype\":\"", name(tensor.dtype), "\",\"shape\":", Json(tensor.shape).dump(),
                    ",\"data_offsets\":[", begin, ",", end, "]}");
    begin = end;
  }
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kLongestSafetensorsHeader)
    throw InvalidArgument(message(escaped(path), ": the header is too long (expected at most ", kLongestSafetensorsHeader, " bytes, got ",
                                  text.size(), ")"));
  return text;
}

}  // namespace

void write_safetensors(const std::string& path, std::vector<TensorSource> tensors,
                       const std::map<std::string, std::string>& metadata) {
  for (const TensorSource& tensor : tensors) check(tensor, path);
  std::sort(tensors.begin(), tensors.end(), [](const TensorSource& a, const TensorSource& b) {
    return bits(a.dtype) != bits(b.dtype) ? bits(a.dtype) > bits(b.dtype) : a.name < b.name;
  });
  std::vector<std::string_view> names;
  for (const TensorSource& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  if (const auto twice = std::adjacent_find(names.begin(), names.end()); twice != names.end())
    throw InvalidArgument(message(escaped(path), ": tensor \"", escaped(*twice), "\" is given twice"));

  const std::string header = header_text(tensors, metadata, path);
  std::array<unsigned char, 8> length;
  for (size_t i = 0; i < length.size(); ++i) length[i] = static_cast<unsigned char>(uint64_t{header.size()} >> (8 * i));

  AtomicFile file(path);
  file.write(length.data(), length.size());
  file.write(header.data(), header.size());
  std::vector<char> room;
  for (const TensorSource& tensor : tensors) {
    const uint64_t bytes = *tensor_bytes(tensor.dtype, tensor.shape);
    if (tensor.fill) {
      room.resize(bytes);
      tensor.fill(room.data());
    }
    file.write(tensor.fill ? room.data() : tensor.data, bytes);
  }
  file.commit();
}

}  // namespace sara
