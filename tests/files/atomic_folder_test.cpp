// SPDX-License-Identifier: Apache-2.0
#include "sara/files/atomic_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "sara/base/error.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

class AtomicFolderTest : public ::testing::Test {
 protected:
  AtomicFolderTest() : root_(fs::temp_directory_path() / ("sara_atomic_folder_" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + "_" +
                                                          ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~AtomicFolderTest() override { fs::remove_all(root_); }

  static void put(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }
  static std::string text_of(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  size_t entries() const { return static_cast<size_t>(std::distance(fs::directory_iterator(root_), fs::directory_iterator())); }

  fs::path root_;
};

TEST_F(AtomicFolderTest, NothingIsSeenBeforeCommitAndAllOfItAfter) {
  AtomicFolder folder((root_ / "new").string());
  put(fs::path(folder.temporary()) / "a", "1");
  EXPECT_FALSE(fs::exists(root_ / "new"));
  folder.commit();
  EXPECT_EQ(text_of(root_ / "new" / "a"), "1");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFolderTest, WithoutCommitNothingIsLeft) {
  {
    AtomicFolder folder((root_ / "new").string());
    put(fs::path(folder.temporary()) / "a", "1");
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(AtomicFolderTest, AFullFolderIsKeptUnlessOverwrite) {
  fs::create_directory(root_ / "old");
  put(root_ / "old" / "mine", "keep");
  EXPECT_THROW(AtomicFolder((root_ / "old").string()), IoError);
  {
    AtomicFolder folder((root_ / "old").string(), /*overwrite=*/true);
    EXPECT_EQ(text_of(root_ / "old" / "mine"), "keep");
  }
  EXPECT_EQ(text_of(root_ / "old" / "mine"), "keep");
  AtomicFolder folder((root_ / "old").string(), /*overwrite=*/true);
  put(fs::path(folder.temporary()) / "a", "1");
  folder.commit();
  EXPECT_FALSE(fs::exists(root_ / "old" / "mine"));
  EXPECT_EQ(text_of(root_ / "old" / "a"), "1");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFolderTest, AnEmptyFolderIsReplacedAndATrailingSlashIgnored) {
  fs::create_directory(root_ / "empty");
  AtomicFolder folder((root_ / "empty").string() + "/");
  put(fs::path(folder.temporary()) / "a", "1");
  folder.commit();
  EXPECT_EQ(text_of(root_ / "empty" / "a"), "1");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFolderTest, AFileInTheWayIsNamed) {
  put(root_ / "file", "");
  try {
    AtomicFolder folder((root_ / "file").string(), /*overwrite=*/true);
    FAIL();
  } catch (const IoError& error) {
    EXPECT_EQ(error.path(), (root_ / "file").string());
  }
  EXPECT_THROW(AtomicFolder((root_ / "file" / "below").string()), IoError);
}

}  // namespace
}  // namespace sara
