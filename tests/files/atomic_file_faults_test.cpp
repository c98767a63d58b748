// SPDX-License-Identifier: Apache-2.0
// AtomicFile when the system refuses, dawdles or loses power. The functions below stand before libc's own in this program:
// they record what happens to the files of one folder, fail on demand, and pass on to the kernel.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <filesystem>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"

namespace {

struct Operation {
  std::string call, name, detail;  // open NAME | write NAME BYTES | fsync NAME | rename NAME NEW
};

struct FileCalls {
  std::string folder;  // only descriptors opened below it are watched; empty: none
  std::map<int, std::string> names;
  std::vector<Operation> log;
  std::string failing_call;
  int failing_number = 0, code = 0;  // the how-manieth such call fails
  bool halved = false;               // reads and writes move half of what is asked, and every second one is interrupted
  int moves = 0;

  bool watches(int descriptor) const { return names.count(descriptor) > 0; }
  bool fails(const char* call) {
    if (failing_call != call || --failing_number != 0) return false;
    errno = code;
    return true;
  }
  // The number of bytes to move, or none when the call is interrupted.
  std::optional<size_t> moved(size_t count) {
    if (!halved) return count;
    if (++moves % 2) {
      errno = EINTR;
      return std::nullopt;
    }
    return (count + 1) / 2;
  }
} calls;

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    va_end(arguments);
  }
  const bool watched = !calls.folder.empty() && std::string_view(path).starts_with(calls.folder);
  if (watched && calls.fails("open")) return -1;
  const int descriptor = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
  if (watched && descriptor >= 0) {
    calls.names[descriptor] = path;
    calls.log.push_back({"open", path, ""});
  }
  return descriptor;
}

ssize_t write(int descriptor, const void* data, size_t count) {
  if (calls.watches(descriptor)) {
    if (calls.fails("write")) return -1;
    const auto moved = calls.moved(count);
    if (!moved) return -1;
    count = *moved;
    calls.log.push_back({"write", calls.names[descriptor], std::string(static_cast<const char*>(data), count)});
  }
  return syscall(SYS_write, descriptor, data, count);
}

ssize_t pread(int descriptor, void* out, size_t count, off_t offset) {
  if (calls.watches(descriptor)) {
    if (calls.fails("pread")) return -1;
    const auto moved = calls.moved(count);
    if (!moved) return -1;
    count = *moved;
  }
  return syscall(SYS_pread64, descriptor, out, count, offset);
}

int fsync(int descriptor) {
  if (calls.watches(descriptor)) {
    if (calls.fails("fsync")) return -1;
    calls.log.push_back({"fsync", calls.names[descriptor], ""});
  }
  return static_cast<int>(syscall(SYS_fsync, descriptor));
}

int close(int descriptor) {
  const bool failed = calls.watches(descriptor) && calls.fails("close");
  calls.names.erase(descriptor);
  const int result = static_cast<int>(syscall(SYS_close, descriptor));
  if (failed) errno = calls.code;
  return failed ? -1 : result;
}

int rename(const char* from, const char* to) noexcept {
  const bool watched = !calls.folder.empty() && std::string_view(from).starts_with(calls.folder);
  if (watched) {
    if (calls.fails("rename")) return -1;
    calls.log.push_back({"rename", from, to});
  }
  return static_cast<int>(syscall(SYS_rename, from, to));
}

}  // extern "C"

namespace sara {
namespace {

struct AtomicFileFaults : testing::Test {
  AtomicFileFaults() {
    std::string pattern = testing::TempDir() + "sara_faults_XXXXXX";
    folder = mkdtemp(pattern.data());
    path = folder + "/file";
    write_file(path, "old");
    calls = {};
    calls.folder = folder;
  }
  ~AtomicFileFaults() override {
    calls = {};
    std::filesystem::remove_all(folder);
  }
  size_t files() const {
    const std::filesystem::directory_iterator all(folder);
    return static_cast<size_t>(std::distance(begin(all), end(all)));
  }

  // Five separate writes, so that a fault can fall between them.
  void save() const {
    AtomicFile file(path);
    for (size_t i = 0; i < content.size(); i += 2) file.write(content.data() + i, 2);
    file.commit();
  }

  std::string folder, path, content = "new things";
};

TEST_F(AtomicFileFaults, EveryFailingCallIsReportedAndKeepsTheOldFile) {
  const std::vector<std::tuple<std::string, int, int>> faults{{"open", 1, EACCES},  {"write", 1, ENOSPC}, {"write", 2, ENOSPC},
                                                              {"write", 3, EIO},    {"write", 5, EDQUOT}, {"fsync", 1, EIO},
                                                              {"close", 1, EIO},    {"rename", 1, EXDEV}};
  for (const auto& [call, number, code] : faults) {
    calls.failing_call = call;
    calls.failing_number = number;
    calls.code = code;
    try {
      save();
      ADD_FAILURE() << call << " " << number << " went unnoticed";
    } catch (const IoError& error) {
      EXPECT_EQ(error.code(), code) << call;
      EXPECT_EQ(error.path(), path) << call;
    }
    calls.failing_call = "";
    EXPECT_EQ(read_file(path), "old") << call;
    EXPECT_EQ(files(), 1u) << call << ": the temporary is left";
    EXPECT_TRUE(calls.names.empty()) << call << ": a descriptor is left open";
  }
}

TEST_F(AtomicFileFaults, AFolderThatCannotBeFlushedIsReported) {
  calls.failing_call = "fsync";
  calls.failing_number = 2;  // the file's, then the folder's
  calls.code = EIO;
  EXPECT_THROW(save(), IoError);
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileFaults, InterruptedAndShortTransfersGoUnnoticed) {
  calls.halved = true;
  save();
  EXPECT_EQ(read_file(path), content);
  EXPECT_GT(calls.moves, 20);
}

TEST_F(AtomicFileFaults, AReadErrorIsReported) {
  calls.failing_call = "pread";
  calls.failing_number = 1;
  calls.code = EIO;
  try {
    read_file(path);
    FAIL();
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), EIO);
  }
}

// Power fails behind each operation in turn. What was not flushed is gone; a rename whose folder was not flushed may have
// happened or not. The path must hold the old content or all of the new, and the new for sure once save() has returned.
TEST_F(AtomicFileFaults, PowerLossAtAnyMomentLeavesTheOldOrTheNewContent) {
  save();
  const std::vector<Operation> log = calls.log;
  ASSERT_GE(log.size(), 9u);
  for (size_t length = 0; length <= log.size(); ++length) {
    std::map<std::string, std::string> cached, flushed;
    bool renamed = false, rename_flushed = false;
    std::string moved;
    for (size_t i = 0; i < length; ++i) {
      const Operation& operation = log[i];
      if (operation.call == "write") cached[operation.name] += operation.detail;
      if (operation.call == "fsync" && operation.name == folder) rename_flushed = renamed;
      if (operation.call == "fsync" && operation.name != folder) flushed[operation.name] = cached[operation.name];
      if (operation.call == "rename") {
        EXPECT_EQ(operation.detail, path);
        renamed = true;
        moved = operation.name;
      }
    }
    if (renamed) {
      EXPECT_EQ(flushed[moved], content) << "after operation " << length;
    }
    EXPECT_EQ(rename_flushed, length == log.size());
    EXPECT_EQ(cached.count(path), 0u) << "the old file was written to in place";
  }
}

}  // namespace
}  // namespace sara
