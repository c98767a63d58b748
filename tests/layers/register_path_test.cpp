// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/register_path.h"

#include <gtest/gtest.h>

#include "sara/layers/linear.h"

namespace sara {
namespace {

TEST(RegisterPath, DotsBecomeContainersAndParametersGetTheWholePath) {
  torch::nn::Module parent;
  make_at<Linear>(parent, "net.0.proj", 2, 3, true, torch::kFloat32);
  make_at<Linear>(parent, "net.2", 3, 2, false, torch::kFloat32);
  const auto parameters = parent.named_parameters();
  EXPECT_EQ(parameters.keys(), (std::vector<std::string>{"net.0.proj.weight", "net.0.proj.bias", "net.2.weight"}));
  EXPECT_EQ(parent.named_children().size(), 1u);
}

TEST(RegisterPath, ANameGivenTwiceIsRefused) {
  torch::nn::Module parent;
  make_at<Linear>(parent, "to_out.0", 2, 2, true, torch::kFloat32);
  EXPECT_THROW(make_at<Linear>(parent, "to_out.0", 2, 2, true, torch::kFloat32), c10::Error);
}

}  // namespace
}  // namespace sara
