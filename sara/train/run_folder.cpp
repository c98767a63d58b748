// SPDX-License-Identifier: Apache-2.0
#include "sara/train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

#include "sara/base/error.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

// What a run writes: the only names that `overwrite` removes.
constexpr std::array kOwned{"adapter.safetensors", "weights.safetensors", "config.toml", "metrics.jsonl", "summary.json", "report.html", "loss.svg",
                            "samples",             "emergency",           "nan_report.json", "skipped.txt"};

bool is_empty(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename() != "run.lock") return false;
  }
  return true;
}

}  // namespace

RunFolder::RunFolder(std::string path, bool overwrite, int64_t needed_bytes) : path_(std::move(path)) {
  std::error_code failure;
  if (fs::exists(path_) && !fs::is_directory(path_)) throw IoError(path_, "the output is not a folder. Fix: choose another --output", ENOTDIR);
  fs::create_directories(path_, failure);
  if (failure) throw IoError(path_, "cannot make the output folder", failure.value());
  if (access(path_.c_str(), W_OK) != 0) throw IoError(path_, "cannot write to the output folder", errno);
  lock();
  if (!is_empty(path_)) {
    if (!overwrite) throw IoError(path_, "the output folder is not empty. Fix: add --overwrite, or choose another --output", EEXIST);
    for (const char* name : kOwned) fs::remove_all(fs::path(path_) / name);
  }
  struct statvfs disk {};
  if (statvfs(path_.c_str(), &disk) == 0) {
    const auto free = static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
    if (free < needed_bytes) {
      throw IoError(path_, message("too little disk space (needed ", needed_bytes / 1000000, " MB, free ", free / 1000000, " MB)"), ENOSPC);
    }
  }
}

RunFolder::~RunFolder() {
  if (lock_ < 0) return;
  unlink(file("run.lock").c_str());
  close(lock_);
}

std::string RunFolder::file(const std::string& name) const { return (fs::path(path_) / name).string(); }

void RunFolder::lock() {
  const auto lock_path = file("run.lock");
  lock_ = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) throw IoError(lock_path, "cannot make the lock file", errno);
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    char holder[32] = {};
    const auto size = pread(lock_, holder, sizeof holder - 1, 0);
    close(lock_);
    lock_ = -1;
    throw IoError(path_, message("another run holds this folder (PID ", size > 0 ? holder : "unknown", "). Fix: wait for it, or choose another --output"),
                  EWOULDBLOCK);
  }
  const auto pid = std::to_string(getpid());
  if (ftruncate(lock_, 0) != 0 || pwrite(lock_, pid.data(), pid.size(), 0) < 0) throw IoError(lock_path, "cannot write the lock file", errno);
}

}  // namespace sara
