// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/scope.h"

#include <regex>
#include <set>

#include "sara/base/error.h"

namespace sara {
namespace {

std::vector<std::regex> compiled(const char* option, const std::vector<std::string>& patterns) {
  std::vector<std::regex> out;
  for (const auto& pattern : patterns) {
    try {
      out.emplace_back(pattern, std::regex::ECMAScript | std::regex::optimize);
    } catch (const std::regex_error& error) {
      throw InvalidArgument(message(option, ": '", escaped(pattern), "' is not a regular expression (", error.what(),
                                    "). Fix: correct the pattern"));
    }
  }
  return out;
}

bool any_found(const std::vector<std::regex>& patterns, const std::string& name) {
  for (const auto& pattern : patterns)
    if (std::regex_search(name, pattern)) return true;
  return false;
}

}  // namespace

NamedTensors in_scope(const NamedTensors& tensors, const std::vector<std::string>& include,
                      const std::vector<std::string>& exclude) {
  const auto included = compiled("include", include), excluded = compiled("exclude", exclude);
  std::set<std::string> names;
  std::set<const void*> seen;
  NamedTensors out;
  for (const auto& [name, tensor] : tensors) {
    if (!names.insert(name).second)
      throw InvalidArgument(message("parameters: ", escaped(name), " is listed twice. Fix: give each tensor its own name"));
    if (!included.empty() && !any_found(included, name)) continue;
    if (any_found(excluded, name) || tensor.numel() == 0) continue;
    const auto dtype = tensor.scalar_type();
    if (dtype != torch::kFloat && dtype != torch::kBFloat16 && dtype != torch::kHalf)
      throw InvalidArgument(message("parameters: ", escaped(name), " cannot be trained (expected float32, bfloat16 or float16, got ",
                                    toString(dtype), "). Fix: convert or exclude it"));
    if (seen.insert(tensor.unsafeGetTensorImpl()).second) out.emplace_back(name, tensor);
  }
  return out;
}

int64_t weight_count(const NamedTensors& tensors) {
  int64_t count = 0;
  for (const auto& [name, tensor] : tensors) count += tensor.numel();
  return count;
}

}  // namespace sara
