// SPDX-License-Identifier: Apache-2.0
#include "sara/files/manifest.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/files/input_file.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

struct ManifestTest : testing::Test {
  fs::path folder = fs::temp_directory_path() / message("sara_manifest_test_", getpid());
  ManifestTest() {
    fs::create_directories(folder);
    put("a", "some bytes");
    put("b", "");
    write_manifest(folder.string(), {"a", "b"}, {{"step", 7}});
  }
  ~ManifestTest() override { fs::remove_all(folder); }
  std::string path(const std::string& name) const { return (folder / name).string(); }
  void put(const std::string& name, std::string_view content) const { std::ofstream(path(name), std::ios::binary) << content; }  // without waiting for the disk
  std::string verdict() const {
    try {
      verified_manifest(folder.string());
    } catch (const BadFile& bad) {
      return message(fs::path(bad.path()).filename().string(), ": ", bad.reason());
    }
    return "whole";
  }
};

TEST_F(ManifestTest, AWholeFolderGivesItsFactsBack) {
  const Json manifest = verified_manifest(folder.string());
  EXPECT_EQ(manifest["step"], 7);
  EXPECT_EQ(manifest["files"]["a"]["bytes"], 10);
  EXPECT_EQ(manifest["files"]["b"]["bytes"], 0);
  EXPECT_EQ(manifest, read_manifest(folder.string()));
}

TEST_F(ManifestTest, EveryFlippedByteOfEveryFileIsNoticedAndTheFileNamed) {
  for (const char* name : {"a", "manifest.json", "manifest.xxh3"}) {
    const std::string content = read_file(path(name));
    for (size_t at = 0; at < content.size(); ++at) {
      std::string flipped = content;
      flipped[at] = static_cast<char>(flipped[at] ^ 1);
      put(name, flipped);
      const std::string expected = name[0] == 'a' ? "a: " : "manifest.json: ";
      EXPECT_TRUE(verdict().starts_with(expected)) << verdict();
    }
    put(name, content);
  }
  EXPECT_EQ(verdict(), "whole");
}

TEST_F(ManifestTest, EveryCutIsNoticed) {
  for (const char* name : {"a", "manifest.json", "manifest.xxh3"}) {
    const std::string content = read_file(path(name));
    for (size_t size = 0; size < content.size(); ++size) {
      put(name, std::string_view(content).substr(0, size));
      EXPECT_NE(verdict(), "whole") << name << " cut to " << size;
    }
    put(name, content + "x");
    EXPECT_NE(verdict(), "whole");
    put(name, content);
  }
}

TEST_F(ManifestTest, AMissingFileIsNamedAndAFurtherOneIsNoMatter) {
  put("c", "mine");
  EXPECT_EQ(verdict(), "whole");
  for (const char* name : {"a", "b", "manifest.json", "manifest.xxh3"}) {
    fs::rename(path(name), path("away"));
    EXPECT_EQ(verdict(), message(name, ": is missing"));
    fs::rename(path("away"), path(name));
  }
}

TEST_F(ManifestTest, SizesAloneAreComparedWithoutReading) {
  put("a", "same bytes");
  EXPECT_NO_THROW(read_manifest(folder.string()));
  EXPECT_EQ(verdict(), "a: does not fit its checksum in manifest.json");
}

TEST_F(ManifestTest, NamesThatLeaveTheFolderAreRefused) {
  for (const char* name : {"../a", "/etc/passwd", "", "..", "x/y"}) {
    Json manifest = read_json(path("manifest.json"));
    manifest["files"][name] = manifest["files"]["a"];
    const std::string text = manifest.dump();
    Hasher hasher;
    hasher.update(text);
    put("manifest.json", text);
    put("manifest.xxh3", hasher.hex() + "\n");
    EXPECT_NE(verdict().find("no plain file name"), std::string::npos) << verdict();
    write_manifest(folder.string(), {"a"}, Json::object());
  }
}

}  // namespace
}  // namespace sara
