// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/shards.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"
#include "sara/files/json.h"
#include "sara/weights/tensor_file.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

// models/unet/{one,two}.safetensors with tensors a and b, and an index over them.
struct Shards : testing::Test {
  Folder root;
  std::string folder = root.path("models/unet");

  Shards() {
    fs::create_directories(folder);
    shard("one.safetensors", {"a"});
    shard("two.safetensors", {"b"});
  }
  std::string file(const std::string& name) const { return (fs::path(folder) / name).string(); }
  void shard(const std::string& name, const std::vector<std::string>& tensors) const { shard_at(file(name), tensors); }
  static void shard_at(const std::string& path, const std::vector<std::string>& tensors) {
    fs::create_directories(fs::path(path).parent_path());
    TensorMap map;
    for (const auto& tensor : tensors) map[tensor] = torch::ones({2});
    save_tensors(path, map);
  }
  void index(const Json& weight_map, const std::string& name = "model.safetensors.index.json") const {
    write_json(file(name), {{"metadata", {{"total_size", 16}}}, {"weight_map", weight_map}});
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    const WeightFiles files(folder);
    for (const auto& entry : files.entries()) out.push_back(entry.info->name);
    return out;
  }
  std::string refusal() const {
    return thrown<BadFile>([&] { WeightFiles files(folder); });
  }
  void expect_refusal(const std::string& phrase) const {
    const auto text = refusal();
    EXPECT_NE(text.find(phrase), std::string::npos) << text;
  }
};

const Json kGood{{"a", "one.safetensors"}, {"b", "two.safetensors"}};
using Names = std::vector<std::string>;

TEST_F(Shards, AreReadThroughTheirIndex) {
  for (const char* name : {"model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.json", "diffusion_pytorch_model.safetensors.index.fp16.json"}) {
    index(kGood, name);
    EXPECT_EQ(names(), (Names{"a", "b"})) << name;
    EXPECT_EQ(WeightFiles(folder).paths(), (Names{file("one.safetensors"), file("two.safetensors")}));
    fs::remove(file(name));
  }
}

TEST_F(Shards, ASingleFileOfEitherNameAndVariantIsRead) {
  for (const char* name : {"model.safetensors", "model.fp16.safetensors", "diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"}) {
    shard(name, {"x", "y"});
    EXPECT_EQ(names(), (Names{"x", "y"})) << name;
    fs::remove(file(name));
  }
}

TEST_F(Shards, AMissingOneIsNamed) {
  index({{"a", "one.safetensors"}, {"b", "gone.safetensors"}});
  expect_refusal("shard gone.safetensors is missing");
}

TEST_F(Shards, ATensorInTwoOfThemIsRefused) {
  shard("two.safetensors", {"a", "b"});
  index(kGood);
  expect_refusal("tensor a is in two shards");
}

TEST_F(Shards, ATensorTheIndexNamesMustBeInItsShard) {
  index({{"a", "one.safetensors"}, {"b", "two.safetensors"}, {"c", "two.safetensors"}});
  expect_refusal("tensor c is named by the index and absent from the shard");
}

TEST_F(Shards, ATensorTheIndexDoesNotNameIsRefused) {
  shard("two.safetensors", {"b", "extra"});
  index(kGood);
  expect_refusal("tensor extra is not named by the index");
}

TEST_F(Shards, AnIndexMustMapNamesToNames) {
  write_file(file("model.safetensors.index.json"), "[1]");
  expect_refusal("no weight_map");
  index({{"a", 3}});
  expect_refusal("weight_map of a is not a string");
  write_file(file("model.safetensors.index.json"), R"({"weight_map": {"a": "one.safetensors", "a": "two.safetensors"}})");
  expect_refusal("appears twice");
}

TEST_F(Shards, AWrongTotalSizeIsOnlyAWarning) {
  write_json(file("model.safetensors.index.json"), {{"metadata", {{"total_size", 1}}}, {"weight_map", kGood}});
  testing::internal::CaptureStderr();
  EXPECT_EQ(names(), (Names{"a", "b"}));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("expected 16, got 1"), std::string::npos);
}

TEST_F(Shards, AShardNameStaysInTheFolder) {
  shard_at(root.path("models/outside.safetensors"), {"a"});
  for (const auto& [name, why] : std::vector<std::pair<std::string, std::string>>{{"../outside.safetensors", "leaves the model folder"},
                                                                                  {"x/../../outside.safetensors", "leaves the model folder"},
                                                                                  {root.path("models/outside.safetensors"), "is not relative"},
                                                                                  {"", "is not relative"},
                                                                                  {"..\\outside.safetensors", "backslash"},
                                                                                  {"one\n.safetensors", "control character"},
                                                                                  {"one\x7f.safetensors", "control character"}}) {
    index({{"a", name}});
    expect_refusal(why);
  }
}

TEST_F(Shards, ALinkInsideTheModelFolderIsFollowed) {
  fs::create_symlink("../store/real.safetensors", file("model.safetensors"));
  shard_at(root.path("models/store/real.safetensors"), {"z"});
  EXPECT_EQ(names(), Names{"z"});
}

TEST_F(Shards, ALinkThatLeavesTheModelFolderIsRefused) {
  shard_at(root.path("elsewhere/real.safetensors"), {"z"});
  fs::create_symlink(root.path("elsewhere/real.safetensors"), file("model.safetensors"));
  expect_refusal("leaves the model folder");
  fs::remove(file("model.safetensors"));
  fs::remove(file("two.safetensors"));
  fs::create_symlink(root.path("elsewhere/real.safetensors"), file("two.safetensors"));
  index(kGood);
  expect_refusal("leaves the model folder");
}

TEST_F(Shards, ALinkThatLeadsNowhereIsRefused) {
  fs::create_symlink("nothing.safetensors", file("model.safetensors"));
  expect_refusal("leads to no regular file");
  fs::remove(file("model.safetensors"));
  fs::create_symlink("model.safetensors", file("model.safetensors"));  // to itself
  expect_refusal("leads to no regular file");
}

// hub/models--x/snapshots/<revision>/unet/model.safetensors -> hub/models--x/blobs/<hash>
TEST(DownloadCache, ItsLinksIntoItsOwnBlobsAreFollowedAndNoOthers) {
  const Folder root;
  const auto folder = root.path("hub/models--x/snapshots/abc/unet");
  fs::create_directories(folder);
  Shards::shard_at(root.path("hub/models--x/blobs/0123"), {"w"});
  Shards::shard_at(root.path("hub/models--y/blobs/0123"), {"w"});
  const auto link = fs::path(folder) / "model.safetensors";
  fs::create_symlink("../../../blobs/0123", link);
  EXPECT_EQ(WeightFiles(folder).entries().size(), 1u);
  EXPECT_EQ(WeightFiles(folder + "/").entries().size(), 1u);
  fs::remove(link);
  fs::create_symlink("../../../../models--y/blobs/0123", link);
  EXPECT_NE(thrown<BadFile>([&] { WeightFiles files(folder); }).find("leaves the model folder"), std::string::npos);
}

TEST(WeightFiles, APickleAloneIsRefusedWithTheWayToConvertIt) {
  for (const char* name : {"diffusion_pytorch_model.bin", "pytorch_model.bin"}) {
    const Folder root;
    root.text(name, "PK");
    const auto text = thrown<BadFile>([&] { WeightFiles files(root.path()); });
    EXPECT_NE(text.find("pickle"), std::string::npos) << text;
    EXPECT_NE(text.find("safe_serialization=True"), std::string::npos) << text;
  }
}

TEST(WeightFiles, AFolderWithoutWeightsOrWithoutItselfIsRefused) {
  const Folder root;
  EXPECT_NE(thrown<BadFile>([&] { WeightFiles files(root.path()); }).find("no weights found"), std::string::npos);
  EXPECT_NE(thrown<BadFile>([&] { WeightFiles files(root.path("none")); }).find("no such folder"), std::string::npos);
}

}  // namespace
}  // namespace sara
