// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <utility>

#include "sara/sparse/named_tensors.h"
#include "sara/weights/adapter_sum.h"
#include "sara/weights/model_folder.h"

namespace sara {

// "unet.conv_in.weight" -> ("unet", "conv_in.weight").
std::pair<std::string, std::string> split_key(const std::string& key);

// The keys that adapters hold, each once.
std::set<std::string> keys_of(const std::vector<ScaledAdapter>& adapters);

// A model's tensors of these keys as its files store them. Keys that the model lacks are left out.
NamedTensors model_tensors(const ModelFolder& model, const std::set<std::string>& keys);

}  // namespace sara
