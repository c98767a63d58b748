// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include "tests/parity/probe/probe.h"

namespace sara::tests {

// Fills the model as the probe's config says: from the file "weights", or fresh from "seed"; then writes the file
// "save_weights" when given. Every parameter and buffer and no other must be in the file.
void fill_parameters(torch::nn::Module& model, const Json& config);

// Keeps gradients for the parameters listed in config["gradients"] (all of them when that is true, none when absent).
void choose_gradients(torch::nn::Module& model, const Json& config);

// out["grad.<name>"] = d sum(result · cotangent) / d parameter for the chosen ones that the result depends on.
void give_gradients(torch::nn::Module& model, const torch::Tensor& loss, TensorMap& out);

// The dtype named in config["dtype"], float32 by default.
torch::TensorOptions tensor_options(const Json& config);

}  // namespace sara::tests
