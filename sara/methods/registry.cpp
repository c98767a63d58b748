// SPDX-License-Identifier: Apache-2.0
#include "sara/methods/registry.h"

#include "sara/base/error.h"
#include "sara/methods/full.h"
#include "sara/methods/sara.h"

namespace sara {
namespace {

template <class M>
std::unique_ptr<Method> make(const NamedTensors& trainable, const MethodOptions& options, int64_t total_steps) {
  return std::make_unique<M>(trainable, options, total_steps);
}

struct Entry {
  const char* name;
  std::unique_ptr<Method> (*make)(const NamedTensors&, const MethodOptions&, int64_t);
};

constexpr Entry kMethods[] = {{"sara", make<SaraMethod>}, {"full", make<FullMethod>}};

}  // namespace

std::vector<std::string> method_names() {
  std::vector<std::string> out;
  for (const Entry& entry : kMethods) out.emplace_back(entry.name);
  return out;
}

std::unique_ptr<Method> make_method(const std::string& name, const NamedTensors& trainable, const MethodOptions& options,
                                    int64_t total_steps) {
  for (const Entry& entry : kMethods)
    if (name == entry.name) return entry.make(trainable, options, total_steps);
  throw InvalidArgument(message("method: unknown (expected one of ", first_five(method_names()), ", got ", escaped(name), "). Fix: correct the name"));
}

}  // namespace sara
