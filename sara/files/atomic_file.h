// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "sara/files/input_file.h"

namespace sara {

// Writes a file so that its path holds, at every moment and after any crash, either the old content or all of
// the new one. Bytes go to a sibling `<path>.tmp.<pid>.<n>`; commit() flushes it to the disk (fsync), renames it
// over the path and flushes the folder. Without commit() the destructor removes the sibling.
//
// Mode: that of the file replaced, else 0666 & ~umask. A symlink at the path is replaced, not followed.
// Throws IoError with the system's reason; the old file is then still in place.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::string& path() const { return path_; }
  void write(const void* data, size_t bytes);
  void commit();

 private:
  [[noreturn]] void fail(const char* action, int code);

  std::string path_, temporary_;
  int descriptor_ = -1;
};

void write_file(const std::string& path, std::string_view content);

}  // namespace sara
