// SPDX-License-Identifier: Apache-2.0
#include "sara/train/run_folder.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <limits>
#include <set>

#include "sara/base/error.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

std::string refusal(const std::string& path, EarlierRun earlier = EarlierRun::refuse, int64_t bytes = 0) {
  return thrown<IoError>([&] { RunFolder folder(path, earlier, bytes); });
}

TEST(RunFolder, IsMadeWithItsParentsAndGivesUpItsLock) {
  const Folder root;
  {
    const RunFolder folder(root.path("a/b"), EarlierRun::refuse, 1);
    EXPECT_TRUE(fs::exists(root.path("a/b/run.lock")));
    EXPECT_EQ(read_file(root.path("a/b/run.lock")), std::to_string(getpid()));
    EXPECT_EQ(folder.file("x"), root.path("a/b/x"));
  }
  EXPECT_TRUE(fs::is_empty(root.path("a/b")));
  EXPECT_NO_THROW(RunFolder(root.path("a/b"), EarlierRun::refuse, 1));
}

TEST(RunFolder, HoldingAnythingIsRefusedAndLeftAsItWas) {
  const Folder root;
  root.text("run/adapter.safetensors", "old");
  const auto text = refusal(root.path("run"));
  EXPECT_NE(text.find("not empty: File exists. Fix: add --overwrite"), std::string::npos) << text;
  EXPECT_EQ(read_file(root.path("run/adapter.safetensors")), "old");
  EXPECT_FALSE(fs::exists(root.path("run/run.lock")));
}

TEST(RunFolder, OverwriteRemovesWhatARunLeavesAndNothingElse) {
  const Folder root;
  for (const char* name : {"adapter.safetensors", "weights.safetensors", "config.toml", "metrics.jsonl", "summary.json", "report.html", "loss.svg",
                           "skipped.txt", "samples/before/0.png", "checkpoints/step-3/state.json", "mine.txt", "other/adapter.safetensors"}) {
    root.text(std::string("run/") + name, "x");
  }
  const RunFolder folder(root.path("run"), EarlierRun::replace, 1);
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(root.path("run"))) left.insert(entry.path().filename());
  EXPECT_EQ(left, (std::set<std::string>{"mine.txt", "other", "run.lock"}));
  EXPECT_EQ(read_file(root.path("run/other/adapter.safetensors")), "x");
}

TEST(RunFolder, ResumingKeepsWhatIsWholeAndRemovesWhatIsHalfWritten) {
  const Folder root;
  for (const char* name : {"adapter.safetensors", "adapter.safetensors.tmp.12.0", "checkpoints/step-3/state.json", "mine.tmp.1"}) root.text(std::string("run/") + name, "x");
  const RunFolder folder(root.path("run"), EarlierRun::resume, 1);
  std::set<std::string> left;
  for (const auto& entry : fs::directory_iterator(root.path("run"))) left.insert(entry.path().filename());
  EXPECT_EQ(left, (std::set<std::string>{"adapter.safetensors", "checkpoints", "mine.tmp.1", "run.lock"}));
}

TEST(RunFolder, ResumingWhereNoRunIsIsRefusedAndMakesNothing) {
  const Folder root;
  const auto text = thrown<InvalidArgument>([&] { RunFolder(root.path("none"), EarlierRun::resume, 1); });
  EXPECT_NE(text.find("resume: no run is in"), std::string::npos) << text;
  EXPECT_FALSE(fs::exists(root.path("none")));
  fs::create_directories(root.path("empty"));
  thrown<InvalidArgument>([&] { RunFolder(root.path("empty"), EarlierRun::resume, 1); });
  EXPECT_TRUE(fs::is_empty(root.path("empty")));
}

TEST(RunFolder, HeldByAnotherProcessNamesIt) {
  const Folder root;
  int held[2], done[2];
  ASSERT_EQ(pipe(held), 0);
  ASSERT_EQ(pipe(done), 0);
  const pid_t child = fork();
  if (child == 0) {
    const RunFolder folder(root.path("run"), EarlierRun::refuse, 1);
    char byte = 1;
    if (write(held[1], &byte, 1) != 1 || read(done[0], &byte, 1) != 1) _exit(1);
    _exit(0);  // without giving up the lock: the system does
  }
  char byte = 0;
  ASSERT_EQ(read(held[0], &byte, 1), 1);
  const auto text = refusal(root.path("run"), EarlierRun::replace);
  EXPECT_NE(text.find(message("another run holds this folder (PID ", child, ")")), std::string::npos) << text;
  EXPECT_TRUE(fs::exists(root.path("run/run.lock")));
  ASSERT_EQ(write(done[1], &byte, 1), 1);
  waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(RunFolder(root.path("run"), EarlierRun::refuse, 1));  // a stale file is no lock
}

TEST(RunFolder, ThatCannotBeMadeOrWrittenIsRefused) {
  const Folder root;
  root.text("file", "");
  EXPECT_NE(refusal(root.path("file")).find("is not a folder"), std::string::npos);
  EXPECT_NE(refusal(root.path("file/run")).find("cannot make the output folder: Not a directory"), std::string::npos);
  EXPECT_NE(refusal(root.path(std::string(300, 'x'))).find("File name too long"), std::string::npos);
  // The superuser ignores modes, so the check runs as nobody.
  fs::create_directories(root.path("closed"));
  fs::permissions(root.path("closed"), fs::perms::owner_read | fs::perms::owner_exec | fs::perms::others_read | fs::perms::others_exec);
  const pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && seteuid(65534) != 0) _exit(2);
    try {
      RunFolder folder(root.path("closed"), EarlierRun::refuse, 1);
    } catch (const IoError& error) {
      _exit(std::string(error.what()).find("Permission denied") != std::string::npos ? 0 : 3);
    }
    _exit(4);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(RunFolder, ATooSmallDiskIsToldWithBothNumbers) {
  const Folder root;
  root.text("run/adapter.safetensors", "old");
  const auto text = refusal(root.path("run"), EarlierRun::replace, std::numeric_limits<int64_t>::max());
  EXPECT_NE(text.find("too little disk space (needed 9223372036854 MB, free "), std::string::npos) << text;
  EXPECT_EQ(read_file(root.path("run/adapter.safetensors")), "old");  // nothing is removed before that
  const RunFolder folder(root.path("next"), EarlierRun::refuse, 1);
  EXPECT_NO_THROW(folder.require_free(1));
  EXPECT_THROW(folder.require_free(std::numeric_limits<int64_t>::max()), IoError);
}

}  // namespace
}  // namespace sara
