// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <vector>

#include "sara/files/json.h"
#include "sara/weights/shards.h"

namespace sara {

// How stored weights differ from what a network of a config needs: names, with shapes or types where those are wrong.
struct WeightMismatch {
  std::vector<std::string> missing, unknown, misshapen, mistyped;

  bool none() const { return missing.empty() && unknown.empty() && misshapen.empty() && mistyped.empty(); }
  std::string text() const;  // "2 missing: a, b; 1 unknown: c (nearest: d)", up to five names of each kind
};

// Compares headers with a module's parameters; reads no weights. Throws BadFile when two tensors are one parameter.
WeightMismatch weight_mismatch(const torch::nn::Module& module, const WeightFiles& files);

// The parameter that a stored tensor is, "" for tables that are none; the name itself when there is no such parameter.
std::string parameter_of(const std::string& stored, const torch::OrderedDict<std::string, torch::Tensor>& parameters);

// The network of a class and config without memory for its weights (device meta); nullptr for a class that this library does not have.
// Throws InvalidArgument when the config is malformed.
std::shared_ptr<torch::nn::Module> empty_network(const std::string& class_name, const Json& config);

}  // namespace sara
