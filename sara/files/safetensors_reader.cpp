// SPDX-License-Identifier: Apache-2.0
#include "sara/files/safetensors_reader.h"

#include <algorithm>
#include <array>

#include "sara/base/error.h"
#include "sara/files/foreign_file.h"

namespace sara {
namespace {

constexpr uint64_t kLengthBytes = 8;

InputFile open_weights(const std::string& path) {
  refuse_pickle(path);
  return InputFile(path);
}

// ", it looks like a zip archive" or nothing.
std::string hint(const InputFile& file) {
  std::string first(std::min<uint64_t>(file.size(), 512), '\0');
  file.read(0, first.data(), first.size());
  const std::string kind = looks_like(first);
  return kind.empty() ? "" : ", it looks like " + kind;
}

uint64_t header_length(const InputFile& file) {
  if (file.size() < kLengthBytes)
    throw BadFile(file.path(), message("is no safetensors file", hint(file), " (expected at least 8 bytes, got ", file.size(), ")"));
  std::array<unsigned char, kLengthBytes> bytes;
  file.read(0, bytes.data(), bytes.size());
  uint64_t length = 0;
  for (size_t i = 0; i < bytes.size(); ++i) length |= uint64_t{bytes[i]} << (8 * i);
  if (length > kLongestSafetensorsHeader)
    throw BadFile(file.path(), message("is no safetensors file", hint(file), " (expected a header of at most ",
                                       kLongestSafetensorsHeader, " bytes, got ", length, ")"));
  const uint64_t rest = file.size() - kLengthBytes;
  if (length > rest) {
    char first = 0;
    if (rest > 0) file.read(kLengthBytes, &first, 1);
    if (first == '{')
      throw BadFile(file.path(), message(length - rest, " bytes missing of at least ", kLengthBytes + length,
                                         " declared; interrupted download? Fix: download the file again"));
    throw BadFile(file.path(), message("is no safetensors file", hint(file), " (the header would be ", length,
                                       " bytes long, the file has ", rest, " more)"));
  }
  return length;
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::string& path) : file_(open_weights(path)) {
  const uint64_t length = header_length(file_);
  std::string text(length, '\0');
  file_.read(kLengthBytes, text.data(), text.size());
  header_ = parse_safetensors_header(text, path, kLengthBytes);
  data_start_ = kLengthBytes + length;

  uint64_t declared = 0;
  if (__builtin_add_overflow(data_start_, header_.data_bytes(), &declared))
    throw BadFile(path, "the tensors end past 2^64 bytes");
  if (declared > file_.size())
    throw BadFile(path, message(declared - file_.size(), " bytes missing of ", declared,
                                " declared; interrupted download? Fix: download the file again"));
  if (declared < file_.size())
    throw BadFile(path, message(file_.size() - declared, " bytes behind the last tensor (expected ", declared, " in all, got ",
                                file_.size(), ")"),
                  declared);

  index_.reserve(header_.tensors.size());
  for (size_t i = 0; i < header_.tensors.size(); ++i) index_.emplace(header_.tensors[i].name, i);
}

const TensorInfo* SafetensorsReader::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.tensors[found->second];
}

void SafetensorsReader::read(const TensorInfo& tensor, void* out) const {
  SARA_CHECK(tensor.begin <= tensor.end && tensor.end <= header_.data_bytes(), "not a tensor of ", path(), ": ", tensor.name);
  file_.read(data_start_ + tensor.begin, out, tensor.bytes());
}

}  // namespace sara
