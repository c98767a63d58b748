// SPDX-License-Identifier: Apache-2.0
#include "sara/files/atomic_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "sara/base/error.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

void flush_to_disk(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw IoError(path.string(), "cannot open", errno);
  const int failed = fsync(descriptor) != 0 ? errno : 0;
  close(descriptor);
  if (failed) throw IoError(path.string(), "cannot flush to the disk", failed);
}

void rename_folder(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure) throw IoError(to.string(), "cannot put the folder in place", failure.value());
}

}  // namespace

AtomicFolder::AtomicFolder(std::string path, bool overwrite) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  path_ = std::move(path);
  std::error_code failure;
  if (fs::exists(path_, failure)) {
    if (!fs::is_directory(path_)) throw IoError(path_, "the output is not a folder. Fix: choose another --output", ENOTDIR);
    if (!overwrite && !fs::is_empty(path_)) {
      throw IoError(path_, "the output folder is not empty. Fix: add --overwrite, or choose another --output", EEXIST);
    }
    if (access(path_.c_str(), W_OK) != 0) throw IoError(path_, "cannot write to the output folder", errno);
  }
  temporary_ = path_ + ".tmp." + std::to_string(getpid());
  fs::create_directories(temporary_, failure);
  if (failure) throw IoError(path_, "cannot make the output folder", failure.value());
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  for (const auto& entry : fs::recursive_directory_iterator(temporary_)) flush_to_disk(entry.path());
  flush_to_disk(temporary_);
  const bool replaces = fs::exists(path_);
  const std::string old = path_ + ".old." + std::to_string(getpid());
  if (replaces) rename_folder(path_, old);
  rename_folder(temporary_, path_);
  committed_ = true;
  const auto parent = fs::absolute(path_).parent_path();
  flush_to_disk(parent);
  if (replaces) fs::remove_all(old);
}

}  // namespace sara
