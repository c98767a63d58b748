// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sara/files/json.h"
#include "sara/methods/method_state.h"
#include "sara/optim/step_report.h"

namespace sara {

// A way to train a model: it owns what is trained, takes the optimizer steps and writes the result. The trainer knows
// this interface and no method.
class Method {
 public:
  virtual ~Method() = default;
  virtual std::string name() const = 0;
  virtual int64_t trained() const = 0;     // how many weights are trained
  virtual double default_lr() const = 0;   // when no rate is given; may throw InvalidArgument to ask for one

  // What backward has gathered since the last step, to be averaged in place over the processes of a run: the same shapes in the same
  // order in all of them. Valid until the next backward pass or step.
  virtual std::vector<torch::Tensor> gradients() = 0;
  // Does it lie in the same memory for every step, but for a reselection (report.reselected)? A graph of the passes writes there without being asked.
  virtual bool has_gradient_in_place() const { return false; }
  // Hash of which weights are trained now and of their values: the same in all processes of a run after every step.
  virtual std::string fingerprint() const = 0;

  // Multiplies the gradient gathered so far, in fp32, before clipping and the method's own terms: takes a loss scale out.
  virtual void scale_gradient_(double factor) = 0;

  // Optimizer step t = 1..T at this rate, on the gradient gathered since the last step; the loss was scaled so that
  // it is already the mean over accumulated batches. The gradient is used up. A gradient with NaN or infinite
  // entries changes no weight and no state (report.skipped).
  virtual StepReport step(int64_t t, double lr) = 0;

  // What the rank loss takes of a step on average, in seconds, measured now; 0 without one.
  virtual double rank_seconds() const { return 0; }

  // Puts the averages of the trained weights into the model, for good, when the method keeps averages (ema_decay).
  virtual void use_averages_() {}

  // Writes the result to one .safetensors file with this metadata and the method's own. Checks that frozen weights have
  // not moved.
  virtual void save(const std::string& path, const std::map<std::string, std::string>& metadata) const = 0;

  virtual Json summary() const = 0;  // the method's lines of the report

  // Between two steps. state() checks, as save() does, that frozen weights have not moved. load_state_() puts the model's weights
  // back too; it throws InvalidArgument, with nothing changed, for the state of another method, base, mask or model.
  virtual MethodState state() const = 0;
  virtual void load_state_(const MethodState& state) = 0;
};

}  // namespace sara
