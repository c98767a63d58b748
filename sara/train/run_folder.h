// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace sara {

// flock on a file that holds this process's PID; given up, and the file removed, at the end.
class FolderLock {
 public:
  // Throws IoError when another process holds `<folder>/run.lock` (its PID is named) or the file cannot be made.
  explicit FolderLock(const std::string& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  bool take(const std::string& folder);

  std::string path_;
  int descriptor_ = -1;
};

// The folder a training run leaves its results in, held by this process alone while the object lives.
class RunFolder {
 public:
  // Makes the folder when it is missing. Throws IoError when it holds anything and `overwrite` is not set, cannot be
  // written, another run holds it, or less than `needed_bytes` is free on its disk; nothing in it has changed then.
  // `overwrite` removes what an earlier run left, and nothing else.
  RunFolder(const std::string& path, bool overwrite, int64_t needed_bytes);

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const;
  // Throws IoError when less is free on the folder's disk.
  void require_free(int64_t bytes) const;

 private:
  std::string path_;
  FolderLock lock_;
};

}  // namespace sara
