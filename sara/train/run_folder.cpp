// SPDX-License-Identifier: Apache-2.0
#include "sara/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <vector>

#include "sara/base/error.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

// What a run writes: the only names that `overwrite` removes.
constexpr std::array<std::string_view, 12> kOwned{"adapter.safetensors", "weights.safetensors", "config.toml", "metrics.jsonl", "summary.json", "report.html", "loss.svg",
                            "samples",             "skipped.txt",     "emergency",   "nan_report.json",
                            "checkpoints"};

bool is_empty(const fs::path& folder) {
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) {
    if (entry.path().filename() != "run.lock") return false;
  }
  if (failure) throw IoError(folder.string(), "cannot read the output folder", failure.value());
  return true;
}

InvalidArgument nothing_to_resume(const std::string& path) {
  return InvalidArgument(message("resume: no run is in ", escaped(path), ". Fix: correct --output, or leave out --resume"));
}

const std::string& made(const std::string& path, EarlierRun earlier) {
  std::error_code failure;
  if (earlier == EarlierRun::resume && !fs::exists(path, failure)) throw nothing_to_resume(path);
  if (fs::exists(path, failure) && !fs::is_directory(path, failure)) throw IoError(path, "the output is not a folder. Fix: choose another --output", ENOTDIR);
  fs::create_directories(path, failure);
  if (failure) throw IoError(path, "cannot make the output folder", failure.value());
  if (access(path.c_str(), W_OK | X_OK) != 0) throw IoError(path, "cannot write to the output folder", errno);
  return path;
}

}  // namespace

FolderLock::FolderLock(const std::string& folder) : path_((fs::path(folder) / "run.lock").string()) {
  while (!take(folder)) {
  }
  const auto pid = std::to_string(getpid());
  if (ftruncate(descriptor_, 0) != 0 || pwrite(descriptor_, pid.data(), pid.size(), 0) < 0) {
    const int code = errno;
    unlink(path_.c_str());
    close(descriptor_);
    throw IoError(path_, "cannot write the lock file", code);
  }
}

// False when the file went away while it was being locked: its last holder had just ended.
bool FolderLock::take(const std::string& folder) {
  descriptor_ = open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw IoError(path_, "cannot make the lock file", errno);
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int code = errno;
    char holder[32] = {};
    const auto size = pread(descriptor_, holder, sizeof holder - 1, 0);
    close(descriptor_);
    throw IoError(folder, message("another run holds this folder (PID ", size > 0 ? escaped(holder) : "unknown", "). Fix: wait for it, or choose another --output"), code);
  }
  struct stat locked {}, named {};
  if (fstat(descriptor_, &locked) == 0 && stat(path_.c_str(), &named) == 0 && locked.st_ino == named.st_ino && locked.st_dev == named.st_dev) return true;
  close(descriptor_);
  return false;
}

FolderLock::~FolderLock() {
  unlink(path_.c_str());
  close(descriptor_);
}

RunFolder::RunFolder(const std::string& path, EarlierRun earlier, int64_t needed_bytes) : path_(made(path, earlier)), lock_(path_) {
  const bool empty = is_empty(path_);
  if (empty && earlier == EarlierRun::resume) throw nothing_to_resume(path_);
  if (!empty && earlier == EarlierRun::refuse) throw IoError(path_, "the output folder is not empty. Fix: add --overwrite, or --resume to go on with the run in it, or choose another --output", EEXIST);
  require_free(needed_bytes);
  if (empty) return;
  std::vector<fs::path> going;
  for (const auto& entry : fs::directory_iterator(path_)) {
    const auto name = entry.path().filename().string();
    const bool owned = std::find(kOwned.begin(), kOwned.end(), name) != kOwned.end();
    const bool unfinished = std::find(kOwned.begin(), kOwned.end(), name.substr(0, name.find(".tmp."))) != kOwned.end() && !owned;
    if (unfinished || (owned && earlier == EarlierRun::replace)) going.push_back(entry.path());
  }
  for (const auto& path_of_it : going) {
    std::error_code failure;
    fs::remove_all(path_of_it, failure);
    if (failure) throw IoError(path_of_it.string(), "cannot remove what an earlier run left", failure.value());
  }
}

std::string RunFolder::file(const std::string& name) const { return (fs::path(path_) / name).string(); }

void RunFolder::require_free(int64_t bytes) const {
  struct statvfs disk {};
  if (statvfs(path_.c_str(), &disk) != 0) throw IoError(path_, "cannot ask for the free disk space", errno);
  const auto free = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
  if (free < bytes) {
    throw IoError(path_, message("too little disk space (needed ", bytes / 1000000, " MB, free ", free / 1000000, " MB). Fix: free some, or choose another --output"), ENOSPC);
  }
}

}  // namespace sara
