// SPDX-License-Identifier: Apache-2.0
#include "sara/data/subject_folder.h"

#include "sara/base/error.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

SubjectOptions with_class(const std::string& folder) {
  SubjectOptions options;
  options.prior_preservation = true;
  options.class_data = folder;
  options.class_prompt = "a photo of a dog";
  return options;
}

TEST(SubjectFolder, EveryClassPictureHasTheClassPromptAndTheRestIsMissing) {
  Folder folder;
  folder.image("b.png");
  folder.image("a.png");
  folder.text("a.txt", "a caption that is not read");
  const auto found = read_class_folder(with_class(folder.path()), {});
  ASSERT_EQ(found.samples.size(), 2u);
  EXPECT_EQ(found.samples[0].path, folder.path("a.png"));
  for (const auto& sample : found.samples) EXPECT_EQ(sample.captions, std::vector<std::string>{"a photo of a dog"});
  EXPECT_EQ(found.missing, 98);
}

TEST(SubjectFolder, AnEmptyOrAbsentFolderMissesAll) {
  Folder folder;
  auto options = with_class(folder.path("new/one"));
  options.num_class_images = 7;
  const auto found = read_class_folder(options, {});
  EXPECT_TRUE(found.samples.empty());
  EXPECT_EQ(found.missing, 7);
  EXPECT_TRUE(std::filesystem::is_directory(folder.path("new/one")));
}

TEST(SubjectFolder, OfMoreThanAreWantedTheFirstByNameAreTaken) {
  Folder folder;
  for (const char* name : {"c.png", "a.png", "b.png"}) folder.image(name);
  auto options = with_class(folder.path());
  options.num_class_images = 2;
  const auto found = read_class_folder(options, {});
  ASSERT_EQ(found.samples.size(), 2u);
  EXPECT_EQ(found.samples[1].path, folder.path("b.png"));
  EXPECT_EQ(found.missing, 0);
}

TEST(SubjectFolder, AllContradictionsAreToldAtOnce) {
  SubjectOptions options;
  check_subject_options(options, "/data");
  options.class_data = "/class";
  options.prior_loss_weight = 2;
  const auto told = thrown<InvalidArgument>([&] { check_subject_options(options, "/data"); });
  EXPECT_NE(told.find("class_data: no effect"), std::string::npos) << told;
  EXPECT_NE(told.find("prior_loss_weight: no effect"), std::string::npos) << told;
}

TEST(SubjectFolder, TheFoldersMayNotLieInEachOther) {
  check_subject_options(with_class("/data-class"), "/data");
  for (const auto& [of_class, data] : {std::pair{"/data", "/data"}, {"/data/class", "/data"}, {"/data", "/data/dog"}, {"/data/x/../class", "/data/"}})
    EXPECT_THROW(check_subject_options(with_class(of_class), data), InvalidArgument) << of_class << " " << data;
}

}  // namespace
}  // namespace sara
