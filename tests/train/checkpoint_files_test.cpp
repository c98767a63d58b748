// SPDX-License-Identifier: Apache-2.0
#include "sara/train/checkpoint_files.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "sara/base/error.h"
#include "sara/files/manifest.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

struct CheckpointFilesTest : testing::Test {
  Folder run;
  CheckpointFiles files{run.path()};

  void save(int64_t step) {
    run.text(message("checkpoints/step-", step, "/state"), "whole");
    write_manifest(files.path(step), {"state"}, {{"step", step}});
  }
  void damage(int64_t step) { std::ofstream(files.path(step) + "/state") << "wrong"; }  // of the same size
  void cut(int64_t step) { std::ofstream(files.path(step) + "/state") << "wh"; }
  std::set<std::string> names() const {
    std::set<std::string> out;
    for (const auto& entry : fs::directory_iterator(run.path("checkpoints"))) out.insert(entry.path().filename());
    return out;
  }
};

TEST_F(CheckpointFilesTest, WithoutAFolderThereIsNone) {
  EXPECT_FALSE(files.newest());
  EXPECT_NO_THROW(files.remove_unfinished());
  files.make_folder();
  files.make_folder();
  EXPECT_FALSE(files.newest());
}

TEST_F(CheckpointFilesTest, TheNewestIsTheHighestNumberAmongWellFormedNames) {
  for (const int64_t step : {2, 9, 10}) save(step);
  for (const char* name : {"step-011", "step-12x", "step--3", "step-", "other-20", "step-99999999999999999999"}) fs::copy(files.path(10), run.path(std::string("checkpoints/") + name));
  const auto found = files.newest();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->step, 10);
  EXPECT_EQ(found->path, files.path(10));
  EXPECT_EQ(found->manifest["step"], 10);
}

TEST_F(CheckpointFilesTest, DamagedOnesArePassedOverAndLeftOrStopAStrictSearch) {
  for (const int64_t step : {4, 6, 8}) save(step);
  damage(8);
  cut(6);
  EXPECT_EQ(files.newest()->step, 4);
  EXPECT_EQ(names().size(), 3u);
  const auto text = thrown<BadFile>([&] { files.newest(true); });
  EXPECT_NE(text.find("step-8/state: does not fit its checksum"), std::string::npos) << text;
  damage(4);
  EXPECT_FALSE(files.newest());
}

TEST_F(CheckpointFilesTest, ARenamedCheckpointIsNotBelieved) {
  save(4);
  fs::rename(files.path(4), files.path(5));
  EXPECT_FALSE(files.newest());
}

TEST_F(CheckpointFilesTest, PruningKeepsTheNewestWholeOnesAndNeverTouchesDamagedOnes) {
  for (const int64_t step : {1, 2, 3, 4, 5, 9}) save(step);
  cut(4);
  files.prune(2, 5);
  EXPECT_EQ(names(), (std::set<std::string>{"step-3", "step-4", "step-5", "step-9"}));
  files.prune(0, 5);  // not below one
  EXPECT_EQ(names(), (std::set<std::string>{"step-4", "step-5", "step-9"}));
}

TEST_F(CheckpointFilesTest, WhatAKillLeftGoesAndNothingElse) {
  save(3);
  for (const char* name : {"step-4.tmp.12", "step-2.old.12", "step-5.damaged", "mine.tmp.1", "step-x.tmp.2"}) run.text(message("checkpoints/", name, "/state"), "half");
  files.remove_unfinished();
  EXPECT_EQ(names(), (std::set<std::string>{"step-3", "step-5.damaged", "mine.tmp.1", "step-x.tmp.2"}));
}

TEST_F(CheckpointFilesTest, ADamagedOneIsSetAsideUnderAFreeName) {
  for (int time = 0; time < 2; ++time) {
    save(3);
    files.set_aside(3);
  }
  EXPECT_EQ(names(), (std::set<std::string>{"step-3.damaged", "step-3.damaged.2"}));
}

}  // namespace
}  // namespace sara
