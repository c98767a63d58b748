// SPDX-License-Identifier: Apache-2.0
#include "sara/files/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <utility>

#include "sara/base/error.h"

namespace sara {
namespace {

// The mode bits of the regular file at `path`, if one is there. Anything else but a symlink is refused:
// a rename over /dev/null would take the device away.
std::optional<mode_t> replaced_mode(const std::string& path) {
  struct stat status;
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::nullopt;
    throw IoError(path, "write", errno);
  }
  if (S_ISREG(status.st_mode)) return status.st_mode & 07777;
  if (S_ISLNK(status.st_mode)) return std::nullopt;
  throw IoError(path, "write over something that is not a regular file", S_ISDIR(status.st_mode) ? EISDIR : EINVAL);
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

int flush(int descriptor) {
  int result;
  do {
    result = ::fsync(descriptor);
  } while (result != 0 && errno == EINTR);
  return result;
}

// Makes the rename itself survive a power loss.
void flush_folder(const std::string& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw IoError(folder, "open the folder to flush it", errno);
  const int result = flush(descriptor);
  const int code = errno;
  ::close(descriptor);
  // EINVAL is how a file system says that its folders have nothing to flush.
  if (result != 0 && code != EINVAL) throw IoError(folder, "flush the folder", code);
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  static std::atomic<unsigned> count{0};
  const std::optional<mode_t> mode = replaced_mode(path_);
  // A name left by a killed process with our number is passed over.
  for (int attempt = 0; attempt < 100 && descriptor_ < 0; ++attempt) {
    temporary_ = message(path_, ".tmp.", ::getpid(), ".", count++);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno != EEXIST && errno != EINTR) throw IoError(path_, "create", errno);
  }
  if (descriptor_ < 0) throw IoError(path_, "create", errno);
  if (mode && ::fchmod(descriptor_, *mode) != 0) fail("set the mode of", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* action, int code) {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  ::unlink(temporary_.c_str());
  temporary_.clear();
  throw IoError(path_, action, code);
}

void AtomicFile::write(const void* data, size_t bytes) {
  SARA_CHECK(descriptor_ >= 0, "write after commit or failure: ", path_);
  constexpr size_t kLargestCall = size_t{1} << 30;  // Linux moves at most 2^31 - 4096 bytes a call
  auto* source = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor_, source, std::min(bytes, kLargestCall));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("write", errno);
    if (written == 0) fail("write", ENOSPC);
    source += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  SARA_CHECK(descriptor_ >= 0, "commit twice or after failure: ", path_);
  if (flush(descriptor_) != 0) fail("flush", errno);
  // Linux releases the descriptor even when close fails, and EINTR loses nothing after fsync.
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail("close", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename the finished file to", errno);
  temporary_.clear();
  flush_folder(folder_of(path_));
}

void write_file(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content.data(), content.size());
  file.commit();
}

}  // namespace sara
