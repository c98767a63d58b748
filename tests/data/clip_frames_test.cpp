// SPDX-License-Identifier: Apache-2.0
#include "sara/data/clip_frames.h"

#include <set>

#include "sara/base/error.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

std::vector<Sample> clips_of(const std::vector<int64_t>& lengths) {
  std::vector<Sample> clips;
  for (const int64_t length : lengths) clips.push_back({"clip", {""}, std::vector<std::string>(static_cast<size_t>(length), "frame.png")});
  return clips;
}

ClipOptions taking(int64_t frames, int64_t stride) {
  ClipOptions options;
  options.num_frames = frames;
  options.frame_stride = stride;
  return options;
}

TEST(ClipFrames, ALongClipGivesEveryStrideFrameFromAStartThatIsDrawn) {
  const ClipFrames frames(clips_of({5, 100}), taking(4, 3));
  std::set<int64_t> starts;
  for (int64_t epoch = 0; epoch < 400; ++epoch) {
    const auto drawn = frames.drawn(1, 7, epoch);
    for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(drawn[static_cast<size_t>(i)], drawn[0] + 3 * i);
    EXPECT_GE(drawn[0], 5);
    EXPECT_LT(drawn[3], 105);
    starts.insert(drawn[0]);
  }
  EXPECT_GT(starts.size(), 80u);  // of 91
  EXPECT_TRUE(starts.count(5) || starts.count(6));
  EXPECT_TRUE(starts.count(95) || starts.count(94));
}

TEST(ClipFrames, AShortClipIsSpreadEvenly) {
  const ClipFrames frames(clips_of({3, 7, 1}), taking(4, 4));
  EXPECT_EQ(frames.drawn(0, 1, 2), (std::vector<int64_t>{0, 0, 1, 2}));
  EXPECT_EQ(frames.drawn(1, 1, 2), (std::vector<int64_t>{3, 5, 7, 9}));
  EXPECT_EQ(frames.drawn(2, 1, 2), (std::vector<int64_t>{10, 10, 10, 10}));
}

TEST(ClipFrames, TheDrawDependsOnSeedEpochAndClipAlone) {
  const ClipFrames frames(clips_of({60, 60}), {});
  EXPECT_EQ(frames.frames(), 16);
  EXPECT_EQ(frames.stride(), 4);
  const ClipFrames one(clips_of({1000}), taking(1, 1));
  EXPECT_EQ(one.drawn(0, 3, 4), one.drawn(0, 3, 4));
  EXPECT_NE(one.drawn(0, 3, 4), one.drawn(0, 3, 5));
  EXPECT_NE(one.drawn(0, 3, 4), one.drawn(0, 4, 4));
}

TEST(ClipFolder, EveryFolderOfNumberedFramesIsAClipInTheOrderOfItsNumbers) {
  Folder folder;
  for (const int number : {10, 9, 1}) folder.image(message("b/frame", number, ".png"));
  folder.image("a.v2/0001.png");
  folder.text("a.v2.txt", "first\n");
  folder.text("b.caption", "second\n");
  const auto clips = read_clip_folder(folder.path(), {});
  ASSERT_EQ(clips.size(), 2u);
  EXPECT_EQ(clips[0].path, folder.path("a.v2"));
  EXPECT_EQ(clips[0].captions, std::vector<std::string>{"first"});
  EXPECT_EQ(clips[1].captions, std::vector<std::string>{"second"});
  EXPECT_EQ(clips[1].frames, (std::vector<std::string>{folder.path("b/frame1.png"), folder.path("b/frame9.png"), folder.path("b/frame10.png")}));
  const auto frames = frames_of(clips);
  ASSERT_EQ(frames.size(), 4u);
  EXPECT_EQ(frames[1].path, folder.path("b/frame1.png"));
}

TEST(ClipFolder, MetadataRowsNameTheClip) {
  Folder folder;
  folder.image("sub/a/1.png");
  folder.text("metadata.jsonl", "{\"file_name\": \"sub/a\", \"text\": [\"x\", \"y\"]}\n");
  EXPECT_EQ(read_clip_folder(folder.path(), {})[0].captions, (std::vector<std::string>{"x", "y"}));
  folder.text("metadata.jsonl", "{\"file_name\": \"sub/b\", \"text\": \"x\"}\n");
  EXPECT_NE(thrown<BadFile>([&] { read_clip_folder(folder.path(), {}); }).find("names clips that are not there: sub/b"), std::string::npos);
}

TEST(ClipFolder, WhatIsNoClipIsNamed) {
  Folder folder;
  folder.image("a/1.png", 8, 8);
  folder.image("a/2.png", 8, 10);
  const auto refused = [&] { return thrown<BadFile>([&] { read_clip_folder(folder.path(), {}); }); };
  EXPECT_NE(refused().find("1 of 1 clips cannot be used"), std::string::npos);
  EXPECT_NE(refused().find("frame 2.png is 8 x 10 pixels in a clip of 8 x 8"), std::string::npos);
  folder.image("a/2.png", 8, 8);
  EXPECT_NE(refused().find("1 of 1 clips have no caption"), std::string::npos);
  folder.image("a/last.png", 8, 8);
  EXPECT_NE(refused().find("is no numbered frame"), std::string::npos);
  folder.image("1.png", 8, 8);
  EXPECT_NE(refused().find("lies outside of a clip"), std::string::npos);
}

}  // namespace
}  // namespace sara
