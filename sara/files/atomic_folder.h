// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sara {

// Makes a folder so that its path holds either nothing (or the old folder) or all of the new one. Files are written into the
// sibling temporary(); commit() flushes them to the disk and renames the folder into place. Without commit() the
// destructor removes the sibling.
class AtomicFolder {
 public:
  // Throws IoError at once when the path holds something and `overwrite` is not set, is no folder, or cannot be written.
  explicit AtomicFolder(std::string path, bool overwrite = false);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::string& path() const { return path_; }
  const std::string& temporary() const { return temporary_; }
  void commit();  // IoError; an old folder is removed only after the new one stands

 private:
  std::string path_, temporary_;
  bool committed_ = false;
};

}  // namespace sara
