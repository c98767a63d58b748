// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sara {

// A regular file opened for reading by position. Reads go through pread, never through a memory map: a map
// of a network file dies by signal when the server hiccups, and one of a shortened file reads zeros.
// Safe from many threads at once. Throws IoError when the system refuses, BadFile when the path is a folder,
// a pipe or a device.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  InputFile& operator=(InputFile&&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // bytes, at the time of opening

  // Fills out with the `bytes` bytes from `offset` on; BadFile when the file ends before that.
  void read(uint64_t offset, void* out, size_t bytes) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// The whole file.
std::string read_file(const std::string& path);

}  // namespace sara
