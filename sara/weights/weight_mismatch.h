// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <set>
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

// Compares headers with a module's parameters and tables; reads no weights. Throws BadFile when two tensors are one parameter.
WeightMismatch weight_mismatch(const torch::nn::Module& module, const WeightFiles& files);

// What a module's files hold: its parameters, and its tables that are stored but not trained.
torch::OrderedDict<std::string, torch::Tensor> stored_tensors(const torch::nn::Module& module);
std::set<std::string> names_of(const WeightFiles& files);

// Which of a module's stored tensors one of a file is, "" for what is none or is there twice; the name itself when there is no such
// tensor. in_files: names_of the same files.
std::string parameter_of(const std::string& stored, const torch::OrderedDict<std::string, torch::Tensor>& parameters,
                         const std::set<std::string>& in_files);

// The network of a class and config without memory for its weights (device meta); nullptr for a class that this library does not have.
// Throws InvalidArgument when the config is malformed.
std::shared_ptr<torch::nn::Module> empty_network(const std::string& class_name, const Json& config);

}  // namespace sara
