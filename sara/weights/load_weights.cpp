// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/load_weights.h"

#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <map>
#include <set>

#include "sara/base/error.h"
#include "sara/base/options.h"
#include "sara/weights/precision.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The parameter a file's tensor belongs to; "" when it is one of the tables that are not parameters.
std::string parameter_name(const std::string& stored, const std::set<std::string>& known) {
  if (known.count(stored)) return stored;
  if (ends_with(stored, "position_ids")) return "";
  const std::string prefix = "text_model.";
  if (known.count(prefix + stored)) return prefix + stored;
  if (stored.rfind(prefix, 0) == 0 && known.count(stored.substr(prefix.size()))) return stored.substr(prefix.size());
  static const std::pair<const char*, const char*> kEarlyVae[] = {
      {".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}};
  for (const auto& [early, current] : kEarlyVae) {
    const auto place = stored.find(early);
    if (place == std::string::npos) continue;
    const auto name = stored.substr(0, place) + current + stored.substr(place + std::string(early).size());
    if (known.count(name)) return name;
  }
  return stored;
}

// Equal shapes, or a linear weight stored as a 1x1 convolution.
bool fits(const std::vector<int64_t>& stored, at::IntArrayRef wanted) {
  if (at::IntArrayRef(stored) == wanted) return true;
  return stored.size() == 4 && wanted.size() == 2 && stored[0] == wanted[0] && stored[1] == wanted[1] && stored[2] == 1 && stored[3] == 1;
}

void check_finite(const torch::Tensor& tensor, const std::string& path, const std::string& name) {
  if (!tensor.is_floating_point()) return;
  const auto bad = tensor.numel() - at::isfinite(tensor).sum().item<int64_t>();
  if (bad > 0) {
    throw BadFile(path, message("tensor ", name, " holds ", bad, " NaN or Inf values. Fix: use an undamaged file, or --allow-nonfinite"));
  }
}

}  // namespace

void load_weights_(torch::nn::Module& module, const WeightFiles& files, bool allow_nonfinite) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> parameters;
  std::set<std::string> known;
  for (const auto& item : module.named_parameters()) {
    parameters.emplace(item.key(), item.value());
    known.insert(item.key());
  }
  std::set<std::string> filled;
  std::vector<std::string> unknown, misshapen, mistyped, missing;
  for (const auto& [reader, info] : files.entries()) {
    const auto name = parameter_name(info->name, known);
    if (name.empty()) continue;
    const auto found = parameters.find(name);
    if (found == parameters.end()) {
      unknown.push_back(info->name);
      continue;
    }
    auto& parameter = found->second;
    if (!filled.insert(name).second) throw BadFile(reader->path(), message("tensor ", name, " appears twice"));
    if (!fits(info->shape, parameter.sizes())) {
      misshapen.push_back(message(info->name, " (expected ", parameter.sizes(), ", got ", at::IntArrayRef(info->shape), ")"));
      continue;
    }
    const auto dtype = torch_dtype(info->dtype);
    if (!dtype || !c10::isFloatingType(*dtype)) {
      mistyped.push_back(message(info->name, " (expected a floating-point type, got ", sara::name(info->dtype), ")"));
      continue;
    }
    if (parameter.is_cpu() && parameter.is_contiguous() && *dtype == parameter.scalar_type()) {
      reader->read(*info, parameter.data_ptr());
    } else {
      parameter.copy_(read_tensor(*reader, *info).view(parameter.sizes()));
    }
    if (!allow_nonfinite) check_finite(parameter, reader->path(), name);
  }
  for (const auto& name : known) {
    if (!filled.count(name)) missing.push_back(name);
  }
  std::string text;
  const auto add = [&](const char* what, const std::vector<std::string>& names) {
    if (!names.empty()) text += message(text.empty() ? "" : "; ", names.size(), " ", what, ": ", first_five(names));
  };
  add("missing", missing);
  for (size_t i = 0; i < std::min<size_t>(unknown.size(), 5); ++i) {  // as many as are shown
    if (const auto near = nearest_name(unknown[i], {known.begin(), known.end()})) unknown[i] += message(" (nearest: ", *near, ")");
  }
  add("unknown", unknown);
  add("wrongly shaped", misshapen);
  add("wrongly typed", mistyped);
  if (!text.empty()) {
    throw BadFile(files.folder(), message("the weights do not fit the config: ", text, ". Fix: use the config.json these weights were saved with"));
  }
}

}  // namespace sara
