// SPDX-License-Identifier: Apache-2.0
#include "sara/data/image_folder.h"

#include <cerrno>

#include "sara/base/error.h"
#include "sara/files/input_file.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

using Captions = std::vector<std::string>;

std::string cut_in_half(const Folder& folder, const std::string& name) {
  folder.image(name, 32, 32);
  const std::string bytes = read_file(folder.path(name));
  return folder.text(name, std::string_view(bytes).substr(0, bytes.size() / 2));
}

TEST(ImageFolder, MetadataCaptionsImagesInTheOrderOfTheirPaths) {
  Folder folder;
  folder.image("b.png");
  folder.image("a.PNG");
  folder.image("sub/c.png");
  folder.image(".hidden/d.png");
  folder.text("notes.md", "not an image");
  folder.text(
      "metadata.jsonl",
      "{\"file_name\": \"sub/c.png\", \"text\": [\"x\", \"y\"]}\n{\"file_name\": \"./b.png\", \"text\": \"bee\"}\n"
      "{\"file_name\": \"a.PNG\", \"text\": \"ay\"}\n");
  const auto samples = read_image_folder(folder.path(), {});
  ASSERT_EQ(samples.size(), 3u);
  EXPECT_EQ(samples[0].path, folder.path("a.PNG"));
  EXPECT_EQ(samples[0].captions, Captions{"ay"});
  EXPECT_EQ(samples[1].captions, Captions{"bee"});
  EXPECT_EQ(samples[2].path, folder.path("sub/c.png"));
  EXPECT_EQ(samples[2].captions, (Captions{"x", "y"}));
}

TEST(ImageFolder, CsvMetadataWorksToo) {
  Folder folder;
  folder.image("a.png");
  folder.text("metadata.csv", "file_name,text\na.png,\"a cat, asleep\"\n");
  EXPECT_EQ(read_image_folder(folder.path(), {})[0].captions, Captions{"a cat, asleep"});
}

TEST(ImageFolder, TextFilesBesideTheImagesWorkAndThePrefixIsPutBeforeEach) {
  Folder folder;
  folder.image("a.png");
  folder.image("b.png");
  folder.text("a.txt", "one\n");
  folder.text("b.caption", "two\n");
  ImageFolderOptions options;
  options.caption_prefix = "ink style, ";
  const auto samples = read_image_folder(folder.path(), options);
  EXPECT_EQ(samples[0].captions, Captions{"ink style, one"});
  EXPECT_EQ(samples[1].captions, Captions{"ink style, two"});
}

TEST(ImageFolder, OneCaptionForAllStandsInForEveryFile) {
  Folder folder;
  folder.image("a.png");
  folder.text("a.txt", "not read");
  ImageFolderOptions options;
  options.caption = "a photo of sks dog";
  EXPECT_EQ(read_image_folder(folder.path(), options)[0].captions, Captions{"a photo of sks dog"});
  options.caption = "";
  EXPECT_EQ(read_image_folder(folder.path(), options)[0].captions, Captions{""});
  options.caption = "caf\xE9";
  EXPECT_NE(thrown<InvalidArgument>([&] { read_image_folder(folder.path(), options); }).find("byte 3"),
            std::string::npos);
}

TEST(ImageFolder, TwoSourcesOfCaptionsForOneImageAreRefused) {
  Folder folder;
  folder.image("a.png");
  folder.text("metadata.jsonl", "{\"file_name\": \"a.png\", \"text\": \"x\"}\n");
  folder.text("a.txt", "y");
  EXPECT_NE(thrown<BadFile>([&] {
              read_image_folder(folder.path(), {});
            }).find("is captioned twice, in the metadata (line 1)"),
            std::string::npos);
  folder.text("metadata.csv", "file_name,text\na.png,x\n");
  EXPECT_NE(thrown<BadFile>([&] { read_image_folder(folder.path(), {}); }).find("has metadata.jsonl and metadata.csv"),
            std::string::npos);
}

TEST(ImageFolder, MetadataRowsWithoutTheirImageDoubledOrOutsideAreRefused) {
  Folder folder;
  folder.image("a.png");
  const auto message_of = [&](const std::string& name) {
    folder.text("metadata.jsonl",
                "{\"file_name\": \"a.png\", \"text\": \"x\"}\n{\"file_name\": \"" + name + "\", \"text\": \"x\"}\n");
    return thrown<BadFile>([&] { read_image_folder(folder.path(), {}); });
  };
  EXPECT_NE(message_of("gone.png").find("names images that are not there: gone.png (line 2)"), std::string::npos);
  EXPECT_NE(message_of("sub/../a.png").find("lines 1 and 2 both name"), std::string::npos);
  EXPECT_NE(message_of("../a.png").find("is outside the folder"), std::string::npos);
  EXPECT_NE(message_of("/etc/a.png").find("is outside the folder"), std::string::npos);
}

TEST(ImageFolder, MissingAndEmptyCaptionsFollowThePolicy) {
  Folder folder;
  folder.image("a.png");
  folder.image("b.png");
  folder.image("c.png");
  folder.text("a.txt", "one");
  folder.text("b.txt", "  \n");
  const auto text = thrown<BadFile>([&] { read_image_folder(folder.path(), {}); });
  EXPECT_NE(
      text.find("2 of 3 images have no caption or an empty one: " + folder.path("b.png") + ", " + folder.path("c.png")),
      std::string::npos)
      << text;

  ImageFolderOptions options;
  options.missing_caption = "empty";
  options.caption_prefix = "ink, ";
  const auto all = read_image_folder(folder.path(), options);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].captions, Captions{"ink, "});
  EXPECT_EQ(all[2].captions, Captions{"ink, "});

  options.missing_caption = "skip";
  ImageFolderReport report;
  const auto captioned = read_image_folder(folder.path(), options, &report);
  ASSERT_EQ(captioned.size(), 1u);
  EXPECT_EQ(report.skipped.size(), 2u);
  EXPECT_EQ(report.skipped.at(folder.path("c.png")), "has no caption");

  options.missing_caption = "sometimes";
  thrown<InvalidArgument>([&] { read_image_folder(folder.path(), options); });
}

TEST(ImageFolder, AllBadImagesAreListedTogether) {
  Folder folder;
  folder.image("good.png");
  folder.text("good.txt", "fine");
  for (int i = 0; i < 6; ++i) folder.text(message("bad", i, ".jpg"), "no image at all");
  folder.text("empty.png", "");
  folder.image("dot.png", 1, 1);
  const auto text = thrown<BadFile>([&] { read_image_folder(folder.path(), {}); });
  EXPECT_NE(text.find("8 of 9 images cannot be used: "), std::string::npos) << text;
  EXPECT_NE(text.find("bad0.jpg"), std::string::npos) << text;
  EXPECT_NE(text.find("(8 in all)"), std::string::npos) << text;

  ImageFolderOptions options;
  options.skip_bad_images = true;
  ImageFolderReport report;
  EXPECT_EQ(read_image_folder(folder.path(), options, &report).size(), 1u);
  EXPECT_EQ(report.skipped.size(), 8u);
  EXPECT_NE(report.skipped.at(folder.path("dot.png")).find("1 x 1 pixels"), std::string::npos);
  EXPECT_NE(report.skipped.at(folder.path("empty.png")).find("empty"), std::string::npos);
}

TEST(ImageFolder, DamageInsideAFileShowsWhenItIsVerifiedInFull) {
  Folder folder;
  folder.image("a.png", 32, 32);
  folder.text("a.txt", "x");
  std::string bytes = read_file(folder.path("a.png"));
  bytes[bytes.size() - 30] = static_cast<char>(bytes[bytes.size() - 30] ^ 0x55);  // in the compressed pixels
  folder.text("a.png", bytes);
  ImageFolderOptions options;
  options.verify_images = "header";
  EXPECT_EQ(read_image_folder(folder.path(), options).size(), 1u);
  options.verify_images = "full";
  thrown<BadFile>([&] { read_image_folder(folder.path(), options); });
}

TEST(ImageFolder, ATruncatedImageIsBad) {
  Folder folder;
  cut_in_half(folder, "a.png");
  folder.text("a.txt", "x");
  EXPECT_NE(thrown<BadFile>([&] { read_image_folder(folder.path(), {}); }).find("1 of 1 images cannot be used"),
            std::string::npos);
}

TEST(ImageFolder, AFolderWithoutImagesSaysWhatWasLookedFor) {
  Folder folder;
  folder.text("a.bmp", "BM");
  EXPECT_NE(thrown<BadFile>([&] {
              read_image_folder(folder.path(), {});
            }).find("0 images found (looked for .png, .jpg, .jpeg, .webp"),
            std::string::npos);
  try {
    read_image_folder(folder.path("nowhere"), {});
    FAIL();
  } catch (const IoError& error) {
    EXPECT_TRUE(error.code() == ENOENT || error.code() == ENOTDIR) << error.code();
  }
}

TEST(ImageFolder, NothingLeftIsAnErrorAndNotAnEmptyTraining) {
  Folder folder;
  folder.image("a.png");
  ImageFolderOptions options;
  options.missing_caption = "skip";
  EXPECT_NE(thrown<BadFile>([&] { read_image_folder(folder.path(), options); }).find("none of its 1 images is left"),
            std::string::npos);
}

TEST(ImageFolder, WhatReadingDoesToImagesIsCounted) {
  Folder folder;
  folder.image("a.png");
  std::filesystem::rename(folder.path("a.png"), folder.path("a.jpg"));  // a PNG behind another name
  folder.text("a.txt", "x");
  ImageFolderReport report;
  EXPECT_EQ(read_image_folder(folder.path(), {}, &report).size(), 1u);
  ASSERT_EQ(report.notices.size(), 1u);
  EXPECT_EQ(report.notices.begin()->second, 1);
}

TEST(ImageFolder, TheShippedStyleSetReads) {
  const auto samples = read_image_folder(std::string(SARA_SOURCE_DIR) + "/examples/styles/blueprint", {});
  EXPECT_GE(samples.size(), 150u);
}

}  // namespace
}  // namespace sara
