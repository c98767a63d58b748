// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/sparse/named_tensors.h"

namespace sara {

// The tensors a run may train: those whose name matches one of the `include` patterns (all, when there are none) and
// none of the `exclude` patterns. Patterns are ECMAScript regular expressions searched for anywhere in the name.
// A tied tensor, listed under several names, is kept once under the first; empty tensors are left out.
// Throws InvalidArgument for a bad pattern, for a name listed twice and for a dtype other than fp32, bf16 and fp16.
NamedTensors in_scope(const NamedTensors& tensors, const std::vector<std::string>& include,
                      const std::vector<std::string>& exclude);

// Number of weights.
int64_t weight_count(const NamedTensors& tensors);

}  // namespace sara
