// SPDX-License-Identifier: Apache-2.0
#include "sara/methods/method_state.h"

#include "sara/base/error.h"

namespace sara {
namespace {

[[noreturn]] void refuse_entry(const std::string& name) {
  throw InvalidArgument(message("state: ", escaped(name), " is missing or of another type. Fix: use a state that this method and version saved"));
}

}  // namespace

const torch::Tensor& MethodState::tensor(const std::string& name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end() || !found->second.defined()) refuse_entry(name);
  return found->second;
}

int64_t MethodState::count(const char* name) const {
  const auto found = facts.find(name);
  if (found == facts.end() || !found->is_number_integer()) refuse_entry(name);
  return found->get<int64_t>();
}

std::string MethodState::text(const char* name) const {
  const auto found = facts.find(name);
  if (found == facts.end() || !found->is_string()) refuse_entry(name);
  return found->get<std::string>();
}

}  // namespace sara
