// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sara/methods/method.h"
#include "sara/optim/adamw_options.h"
#include "sara/sparse/named_tensors.h"

namespace sara {

// The optimizer's options with the trainer's default, clipping at norm 1, and the average of the trained weights.
struct MethodOptions : AdamWOptions {
  MethodOptions() { max_grad_norm(1.0); }
  TORCH_ARG(Number, ema_decay) = std::nullopt;

 public:
  template <class V>
  void visit(V&& v) {
    AdamWOptions::visit(v);
    v("ema_decay", ema_decay_, "Keep an exponential moving average of the trained weights with this decay, and save and sample it (default: none)",
      Legal{.low = 0, .high = 1, .high_open = true});
  }
};

std::vector<std::string> method_names();

// Makes a method that trains these tensors for total_steps. Names carry the component in front ("unet.conv_in.weight").
// progressive_iter, when not given, becomes half of total_steps.
// Throws InvalidArgument for an unknown method, bad options, or options that would have no effect on it.
std::unique_ptr<Method> make_method(const std::string& name, const NamedTensors& trainable, const MethodOptions& options,
                                    int64_t total_steps);

}  // namespace sara
