// SPDX-License-Identifier: Apache-2.0
// The 43 conformance files of tests/hostile/safetensors: each is accepted or rejected as verdicts.json says, with its words.
#include <gtest/gtest.h>

#include "sara/base/error.h"
#include "sara/files/json.h"
#include "sara/files/safetensors.h"

namespace sara {
namespace {

const std::string kFolder = std::string(SARA_SOURCE_DIR) + "/tests/hostile/safetensors/";

TEST(SafetensorsHostile, EveryConformanceFileGetsItsRecordedVerdictAndMessage) {
  const Json verdicts = read_json(kFolder + "verdicts.json");
  EXPECT_EQ(verdicts.size(), 43u);
  for (const auto& [file, verdict] : verdicts.items()) {
    std::string got = "accept", message;
    try {
      const SafetensorsReader reader(kFolder + file);
      for (const TensorInfo& tensor : reader.tensors()) {
        std::vector<char> bytes(tensor.bytes());
        reader.read(tensor, bytes.data());
      }
    } catch (const BadFile& error) {
      got = "reject";
      message = error.reason();
    }
    EXPECT_EQ(got, verdict.at("sara").get<std::string>()) << file << ": " << message;
    EXPECT_NE(message.find(verdict.at("reason").get<std::string>()), std::string::npos) << file << ": " << message;
  }
}

TEST(SafetensorsHostile, AcceptedOddFilesKeepTheirNamesShapesAndMetadata) {
  const SafetensorsReader unsorted(kFolder + "33_unsorted.safetensors");
  ASSERT_EQ(unsorted.tensors().size(), 2u);
  EXPECT_EQ(unsorted.tensors()[0].name, "a");  // by place in the data, not in the header
  EXPECT_EQ(unsorted.tensors()[1].begin, 4u);
  const SafetensorsReader empty(kFolder + "42_zero_sized.safetensors");
  EXPECT_EQ(empty.find("a")->shape, (std::vector<int64_t>{3, 0}));
  EXPECT_EQ(empty.find("a")->numel(), 0);
  EXPECT_EQ(SafetensorsReader(kFolder + "41_rank_zero.safetensors").tensors()[0].numel(), 1);
  EXPECT_TRUE(SafetensorsReader(kFolder + "31_metadata_null.safetensors").metadata().empty());
}

}  // namespace
}  // namespace sara
