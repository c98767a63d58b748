// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sara/methods/method.h"
#include "sara/optim/adamw_options.h"
#include "sara/sparse/named_tensors.h"

namespace sara {

// The optimizer's options with the trainer's default, clipping at norm 1, and what a method reads, averages and writes.
struct MethodOptions : AdamWOptions {
  MethodOptions() { max_grad_norm(1.0); }

  std::optional<std::string> tuned;
  std::optional<double> ema_decay;
  std::string adapter_dtype = "fp32";

  template <class V>
  void visit(V&& v) {
    AdamWOptions::visit(v);
    v("tuned", tuned, "Tuned model that selection changed compares with: a folder in diffusers' layout, or the weights of a full fine-tuning");
    v("ema_decay", ema_decay, "Keep an exponential moving average of the trained weights with this decay, and save and sample it (default: none)",
      Legal{.low = 0, .high = 1, .high_open = true});
    v("adapter_dtype", adapter_dtype, "Type of the deltas in the adapter file; fp32 restores what was trained, the others take half the room", one_of({"fp32", "bf16", "fp16"}));
  }
};

std::vector<std::string> method_names();

// Makes a method that trains these tensors for total_steps. Names carry the component in front ("unet.conv_in.weight").
// progressive_iter, when not given, becomes half of total_steps; 0 with a selection that has no threshold.
// Throws InvalidArgument for an unknown method, bad options, or options that would have no effect on it.
std::unique_ptr<Method> make_method(const std::string& name, const NamedTensors& trainable, const MethodOptions& options,
                                    int64_t total_steps);

}  // namespace sara
