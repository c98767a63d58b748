// SPDX-License-Identifier: Apache-2.0
#include "sara/files/safetensors.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"

namespace sara {
namespace {

// A folder that goes when the test ends.
struct Safetensors : testing::Test {
  Safetensors() {
    std::string pattern = testing::TempDir() + "sara_safetensors_XXXXXX";
    folder = mkdtemp(pattern.data());
  }
  ~Safetensors() override { std::filesystem::remove_all(folder); }
  std::string file(const std::string& name = "x.safetensors") const { return folder + "/" + name; }

  std::string folder;
};

// The message of the BadFile that opening gives.
std::string safetensors_refusal(const std::string& path) {
  try {
    SafetensorsReader reader(path);
  } catch (const BadFile& error) {
    EXPECT_EQ(error.exit_code(), 3);
    return error.what();
  }
  return "";
}

std::string with_length(uint64_t length, const std::string& rest) {
  std::string out(8, '\0');
  for (int i = 0; i < 8; ++i) out[static_cast<size_t>(i)] = static_cast<char>(length >> (8 * i));
  return out + rest;
}

TEST_F(Safetensors, WritesTheBytesThatTheFormatPrescribes) {
  const float value = 1.0f;
  const uint8_t byte = 7;
  write_safetensors(file(), {{"b", DType::U8, {1}, &byte}, {"a", DType::F32, {}, &value}}, {{"k", "v"}});
  const std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[1],"data_offsets":[4,5]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_file(file()), with_length(padded.size(), padded + std::string("\x00\x00\x80\x3f\x07", 5)));
}

TEST_F(Safetensors, TensorsLieByElementSizeThenNameWhateverTheirOrder) {
  const double wide[2] = {1, 2};
  const uint16_t half[3] = {1, 2, 3};
  const std::vector<TensorSource> one{{"z", DType::F64, {2}, wide}, {"c", DType::BF16, {3}, half}, {"a", DType::F16, {1, 3}, half}};
  write_safetensors(file("one.safetensors"), one);
  write_safetensors(file("two.safetensors"), {one[2], one[0], one[1]});
  EXPECT_EQ(read_file(file("one.safetensors")), read_file(file("two.safetensors")));
  const SafetensorsReader reader(file("one.safetensors"));
  std::string order;
  for (const TensorInfo& tensor : reader.tensors()) order += tensor.name;
  EXPECT_EQ(order, "zac");
}

TEST_F(Safetensors, WhatIsWrittenIsReadBack) {
  rc::check([this](const std::map<std::string, std::vector<uint8_t>>& content) {
    std::vector<TensorSource> sources;
    std::map<std::string, std::vector<uint8_t>> expected;
    for (const auto& [key, bytes] : content) {
      std::string name = "t";  // any letters: rapidcheck's strings need not be UTF-8
      for (const char c : key) name += static_cast<char>('a' + static_cast<unsigned char>(c) % 26);
      expected[name] = bytes;
    }
    for (const auto& [name, bytes] : expected)
      sources.push_back({name, DType::U8, {static_cast<int64_t>(bytes.size())}, bytes.data()});
    write_safetensors(file(), sources, {{"quote\"", "line\n\\ \xC3\xA9"}});
    const SafetensorsReader reader(file());
    RC_ASSERT(reader.tensors().size() == expected.size());
    RC_ASSERT(reader.metadata().at("quote\"") == "line\n\\ \xC3\xA9");
    for (const auto& [name, bytes] : expected) {
      const TensorInfo* const tensor = reader.find(name);
      RC_ASSERT(tensor != nullptr);
      std::vector<uint8_t> got(tensor->bytes());
      reader.read(*tensor, got.data());
      RC_ASSERT(got == bytes);
    }
  });
  EXPECT_EQ(SafetensorsReader(file()).find("no such tensor"), nullptr);
}

TEST_F(Safetensors, EveryElementTypeIsNamedAndSized) {
  for (const char* spelt : {"BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16", "F16",
                            "BF16", "I32", "U32", "F32", "I64", "U64", "F64", "C64", "F4", "F6_E2M3", "F6_E3M2"}) {
    const std::optional<DType> dtype = dtype_named(spelt);
    ASSERT_TRUE(dtype) << spelt;
    EXPECT_EQ(name(*dtype), spelt);
  }
  EXPECT_FALSE(dtype_named("f32"));
  EXPECT_EQ(tensor_bytes(DType::F6_E2M3, {4}), 3u);
  EXPECT_EQ(tensor_bytes(DType::F4, {3}), std::nullopt);  // 12 bits
  EXPECT_EQ(tensor_bytes(DType::U8, {int64_t{1} << 48}), uint64_t{1} << 48);
  EXPECT_EQ(tensor_bytes(DType::U8, {(int64_t{1} << 48) + 1}), std::nullopt);
  EXPECT_EQ(tensor_bytes(DType::F64, {0, 5}), 0u);
}

TEST_F(Safetensors, TheWriterRefusesWhatTheReaderWouldRefuse) {
  const float x = 0;
  EXPECT_THROW(write_safetensors(file(), {{"", DType::F32, {1}, &x}}), InvalidArgument);
  EXPECT_THROW(write_safetensors(file(), {{"a\n", DType::F32, {1}, &x}}), InvalidArgument);
  EXPECT_THROW(write_safetensors(file(), {{"__metadata__", DType::F32, {1}, &x}}), InvalidArgument);
  EXPECT_THROW(write_safetensors(file(), {{"a", DType::F32, {1}, &x}, {"a", DType::F32, {1}, &x}}), InvalidArgument);
  EXPECT_THROW(write_safetensors(file(), {{"a", DType::F32, {-1}, &x}}), InvalidArgument);
  EXPECT_THROW(write_safetensors(file(), {{"a", DType::F4, {1}, &x}}), InvalidArgument);
  EXPECT_THROW(write_safetensors(file(), {{"\xff", DType::F32, {1}, &x}}), InvalidArgument);
  EXPECT_THROW(write_safetensors(file(), {}, {{"k", "\xff"}}), InvalidArgument);
  EXPECT_TRUE(std::filesystem::is_empty(folder));  // no file, no temporary
}

TEST_F(Safetensors, ATruncatedFileNamesTheMissingBytes) {
  const std::vector<float> values(100);
  write_safetensors(file(), {{"a", DType::F32, {100}, values.data()}});
  const auto size = std::filesystem::file_size(file());
  std::filesystem::resize_file(file(), size - 123);
  EXPECT_EQ(safetensors_refusal(file()), message(file(), ": 123 bytes missing of ", size, " declared; interrupted download? Fix: download the file again"));
  std::filesystem::resize_file(file(), 20);  // within the header
  EXPECT_NE(safetensors_refusal(file()).find("bytes missing of at least"), std::string::npos);
  std::filesystem::resize_file(file(), 5);
  EXPECT_NE(safetensors_refusal(file()).find("expected at least 8 bytes, got 5"), std::string::npos);
}

TEST_F(Safetensors, AForeignFileIsNamedByItsKind) {
  const std::vector<std::pair<std::string, std::string>> kinds{
      {std::string("PK\x03\x04", 4) + std::string(60, 'z'), "zip archive"},
      {"\x80\x02}q" + std::string(60, 'z'), "Python pickle"},
      {"GGUF" + std::string(60, '\3'), "GGUF model"},
      {"\n<!DOCTYPE html><html>" + std::string(60, 'z'), "HTML page"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"},
      {"{\"_class_name\": \"UNet2DConditionModel\"}", "JSON text"},
  };
  for (const auto& [content, kind] : kinds) {
    write_file(file(), content);
    const std::string text = safetensors_refusal(file());
    EXPECT_NE(text.find("is no safetensors file, it looks like"), std::string::npos) << text;
    EXPECT_NE(text.find(kind), std::string::npos) << text;
  }
  write_file(file(), std::string(100, '\xEE'));
  EXPECT_EQ(safetensors_refusal(file()).find("looks like"), std::string::npos);
}

TEST_F(Safetensors, PickleFilesAreRefusedByNameWithAWayOut) {
  for (const char* name : {"model.ckpt", "model.PT", "pytorch_model.bin", "m.pth"}) {
    const std::string text = safetensors_refusal(file(name));  // never opened: the file need not exist
    EXPECT_NE(text.find("unpickling can run code"), std::string::npos) << text;
    EXPECT_NE(text.find("Fix: convert it once with python"), std::string::npos) << text;
  }
}

TEST_F(Safetensors, ErrorsInTheHeaderCarryTheirByte) {
  const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":1})";
  write_file(file(), with_length(header.size(), header + "abcd"));
  try {
    SafetensorsReader reader(file());
    FAIL();
  } catch (const BadFile& error) {
    EXPECT_EQ(error.offset(), 8 + header.rfind("\"a\"") + 3);  // just behind the second key
  }
}

TEST_F(Safetensors, NestingOf127IsReadAndOf128IsNot) {
  const auto nested = [&](size_t arrays) {  // inside the root object and the tensor's
    const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"note":)" + std::string(arrays, '[') +
                               std::string(arrays, ']') + "}}";
    write_file(file(), with_length(header.size(), header + "abcd"));
  };
  nested(125);
  EXPECT_EQ(SafetensorsReader(file()).tensors().size(), 1u);
  nested(126);
  EXPECT_NE(safetensors_refusal(file()).find("nests more than 127"), std::string::npos);
}

TEST_F(Safetensors, AFileThatShrinksWhileOpenIsBad) {
  const std::vector<float> values(100);
  write_safetensors(file(), {{"a", DType::F32, {100}, values.data()}});
  const SafetensorsReader reader(file());
  std::filesystem::resize_file(file(), 200);
  std::vector<float> out(100);
  EXPECT_THROW(reader.read(reader.tensors()[0], out.data()), BadFile);
}

TEST_F(Safetensors, FoldersAndMissingFilesSayWhatTheyAre) {
  EXPECT_NE(safetensors_refusal(folder).find("is a folder"), std::string::npos);
  EXPECT_THROW(SafetensorsReader(file("missing.safetensors")), IoError);
}

}  // namespace
}  // namespace sara
