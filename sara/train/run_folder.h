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

// What becomes of an earlier run's results in a run's folder.
enum class EarlierRun {
  refuse,   // there must be none
  replace,  // removed
  resume,   // kept: there must be one
};

// The folder a training run leaves its results in, held by this process alone while the object lives.
class RunFolder {
 public:
  // Makes the folder when it is missing. Throws IoError when it holds anything under `refuse`, cannot be written, another run
  // holds it, or less than `needed_bytes` is free on its disk; InvalidArgument when it holds nothing under `resume`. Nothing in it
  // has changed then. `replace` removes what an earlier run left, `resume` its half-written files, and nothing else.
  RunFolder(const std::string& path, EarlierRun earlier, int64_t needed_bytes);

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const;
  // Throws IoError when less is free on the folder's disk.
  void require_free(int64_t bytes) const;

 private:
  std::string path_;
  FolderLock lock_;
};

}  // namespace sara
