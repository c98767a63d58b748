// SPDX-License-Identifier: Apache-2.0
#include "sara/files/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "sara/base/error.h"

namespace sara {
namespace {

struct AtomicFileTest : testing::Test {
  AtomicFileTest() {
    std::string pattern = testing::TempDir() + "sara_atomic_XXXXXX";
    folder = mkdtemp(pattern.data());
    path = folder + "/file";
  }
  ~AtomicFileTest() override { std::filesystem::remove_all(folder); }

  size_t files() const {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
    return count;
  }
  static mode_t mode(const std::string& of) {
    struct stat status;
    EXPECT_EQ(lstat(of.c_str(), &status), 0);
    return status.st_mode & 07777;
  }

  std::string folder, path;
};

int code_of_failure(const std::string& path, std::string_view content) {
  try {
    write_file(path, content);
  } catch (const IoError& error) {
    EXPECT_EQ(error.exit_code(), 4);
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    return error.code();
  }
  return 0;
}

TEST_F(AtomicFileTest, ThePathKeepsTheOldContentUntilCommit) {
  write_file(path, "old");
  AtomicFile file(path);
  file.write("new ", 4);
  file.write("content", 7);
  EXPECT_EQ(read_file(path), "old");
  file.commit();
  EXPECT_EQ(read_file(path), "new content");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, WithoutCommitNothingIsLeft) {
  { AtomicFile(path).write("x", 1); }
  EXPECT_EQ(files(), 0u);
}

TEST_F(AtomicFileTest, TheModeIsThatOfTheReplacedFileElseByUmask) {
  const mode_t before = umask(027);
  write_file(path, "x");
  EXPECT_EQ(mode(path), 0640u);
  ASSERT_EQ(chmod(path.c_str(), 0604), 0);
  write_file(path, "y");
  EXPECT_EQ(mode(path), 0604u);
  umask(before);
}

TEST_F(AtomicFileTest, ASymlinkIsReplacedAndItsTargetLeftAlone) {
  write_file(folder + "/target", "kept");
  std::filesystem::create_symlink("target", path);
  write_file(path, "new");
  EXPECT_FALSE(std::filesystem::is_symlink(path));
  EXPECT_EQ(read_file(path), "new");
  EXPECT_EQ(read_file(folder + "/target"), "kept");
}

TEST_F(AtomicFileTest, DevicesAndFoldersAreNotWrittenOver) {
  EXPECT_EQ(code_of_failure("/dev/full", "x"), EINVAL);
  EXPECT_EQ(code_of_failure(folder, "x"), EISDIR);
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
}

TEST_F(AtomicFileTest, MissingAndReadOnlyFoldersAreReported) {
  EXPECT_EQ(code_of_failure(folder + "/missing/file", "x"), ENOENT);
  write_file(path, "x");
  EXPECT_EQ(code_of_failure(path + "/below", "x"), ENOTDIR);
  ASSERT_EQ(chmod(folder.c_str(), 0555), 0);
  const bool root = geteuid() == 0;  // modes do not bind root
  if (root) {
    ASSERT_EQ(seteuid(65534), 0);
  }
  const int code = code_of_failure(path, "y");
  if (root) {
    ASSERT_EQ(seteuid(0), 0);
  }
  EXPECT_EQ(code, EACCES);
  EXPECT_EQ(read_file(path), "x");
}

TEST_F(AtomicFileTest, ASizeLimitKeepsTheOldFileAndRemovesTheTemporary) {
  write_file(path, "old");
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const int code = code_of_failure(path, std::string(5000, 'x'));  // a short write, then EFBIG
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(code, EFBIG);
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, OnlyRegularFilesAreRead) {
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THROW(read_file(path), BadFile);  // and does not wait for a writer
  EXPECT_THROW(read_file(folder), BadFile);
  EXPECT_THROW(read_file(folder + "/missing"), IoError);
}

TEST_F(AtomicFileTest, ANameWithoutFolderIsWrittenHere) {
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(folder);
  write_file("plain", "x");
  std::filesystem::current_path(here);
  EXPECT_EQ(read_file(folder + "/plain"), "x");
}

}  // namespace
}  // namespace sara
