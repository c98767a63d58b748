// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace sara {

// The folder a training run leaves its results in, held by this process alone while the object lives (flock on run.lock).
class RunFolder {
 public:
  // Makes the folder when it is missing. Throws IoError when it holds anything and `overwrite` is not set, cannot be
  // written, another run holds it (its PID is named), or less than `needed_bytes` is free on its disk.
  // `overwrite` removes what an earlier run left, and nothing else.
  RunFolder(std::string path, bool overwrite, int64_t needed_bytes);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const;

 private:
  void lock();

  std::string path_;
  int lock_ = -1;
};

}  // namespace sara
