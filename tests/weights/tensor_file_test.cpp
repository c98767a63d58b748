// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/tensor_file.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/weights/precision.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

TEST(TensorFile, GivesEveryTypeAndShapeBack) {
  const Folder folder;
  TensorMap tensors;
  for (const auto dtype : {torch::kBool, torch::kByte, torch::kChar, torch::kShort, torch::kInt, torch::kLong, torch::kHalf, torch::kBFloat16, torch::kFloat, torch::kDouble}) {
    tensors[c10::toString(dtype)] = torch::randint(0, 2, {3, 5}).to(dtype);
  }
  tensors["scalar"] = torch::tensor(2.5f);
  tensors["empty"] = torch::zeros({0, 4});
  save_tensors(folder.path("t.safetensors"), tensors, {{"key", "value"}});
  const auto back = load_tensors(folder.path("t.safetensors"));
  ASSERT_EQ(back.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(back.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(back.at(name).equal(tensor)) << name;
  }
  EXPECT_EQ(SafetensorsReader(folder.path("t.safetensors")).metadata().at("key"), "value");
}

TEST(TensorFile, WritesViewsAsTheyLook) {
  const Folder folder;
  const auto base = torch::randn({4, 6});
  save_tensors(folder.path("t.safetensors"), {{"transposed", base.t()}, {"part", base.slice(1, 1, 6, 2)}, {"repeated", base.slice(0, 0, 1).expand({3, 6})}});
  const auto back = load_tensors(folder.path("t.safetensors"));
  EXPECT_TRUE(back.at("transposed").equal(base.t()));
  EXPECT_TRUE(back.at("part").equal(base.slice(1, 1, 6, 2)));
  EXPECT_TRUE(back.at("repeated").equal(base.slice(0, 0, 1).expand({3, 6})));
}

TEST(TensorFile, EqualContentGivesEqualBytes) {
  const Folder folder;
  const TensorMap tensors{{"b", torch::arange(5)}, {"a", torch::arange(3).to(torch::kFloat)}};
  save_tensors(folder.path("1"), tensors, {{"x", "1"}, {"a", "2"}});
  save_tensors(folder.path("2"), tensors, {{"a", "2"}, {"x", "1"}});
  EXPECT_EQ(read_file(folder.path("1")), read_file(folder.path("2")));
}

TEST(TensorFile, ATypeTorchCannotHoldIsNamedWithItsTensor) {
  const Folder folder;
  const uint8_t byte = 0;
  write_safetensors(folder.path("t.safetensors"), {{"odd", DType::F4, {2}, &byte}});
  const auto text = thrown<BadFile>([&] { load_tensors(folder.path("t.safetensors")); });
  EXPECT_NE(text.find("tensor odd has element type F4"), std::string::npos) << text;
}

TEST(Precision, TypesGoToTheFileAndBack) {
  for (const auto dtype : {torch::kBool, torch::kByte, torch::kLong, torch::kHalf, torch::kBFloat16, torch::kFloat, torch::kDouble}) {
    EXPECT_EQ(torch_dtype(file_dtype(dtype)), dtype);
  }
  EXPECT_EQ(torch_dtype(DType::F6_E2M3), std::nullopt);
  EXPECT_THROW(file_dtype(torch::kComplexDouble), InvalidArgument);
}

TEST(Precision, NamesAreThoseOfTheOptions) {
  for (const char* name : {"fp32", "bf16", "fp16"}) EXPECT_EQ(precision_name(dtype_from_precision(name)), name);
  EXPECT_EQ(dtype_from_precision("no"), torch::kFloat);
  const auto text = thrown<InvalidArgument>([] { dtype_from_precision("fp8"); });
  EXPECT_NE(text.find("expected fp32, bf16 or fp16, got fp8"), std::string::npos) << text;
}

}  // namespace
}  // namespace sara
