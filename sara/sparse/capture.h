// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/sparse/values.h"

namespace sara {

// Where the gradient of a captured weight goes: a slot of compact values.
struct GradientSink {
  Values* values;
  size_t slot;
};

// The sink of a leaf weight that a Capture holds, none for any other tensor. What writes to it must give autograd no
// gradient for that weight, or it would count twice.
std::optional<GradientSink> gradient_sink(const torch::Tensor& weight);

// Unstructural backpropagation (Sec. 4.4, Eq. 7-8) for any module: after autograd has finished the gradient of a leaf
// weight, a hook adds its selected entries to the compact gradient and frees the dense one at once, so that at no time
// more than the dense gradient of one weight exists. Backward passes add up until Values::clear_gradient_().
//
// Weights of the scope with nothing active are set to requires_grad = false and get no gradient computed at all.
// A weight has room for one hook: one that is taken is refused with InvalidArgument, nothing changed.
// The hooks leave with this object, which must not outlive `values`.
class Capture {
 public:
  Capture(Values& values, const NamedTensors& scope);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Looks again which weights have something active; call after Values::reselect_(). When nothing is active anywhere,
  // the flags stay, so that a last backward pass still finds a graph.
  void refresh();

  // Throws InvalidArgument naming the first weight whose hook was replaced by someone else's.
  void require_hooks() const;

 private:
  Values& values_;
};

}  // namespace sara
