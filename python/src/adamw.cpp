// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/adamw.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/utils.h>

#include "python/src/option_dict.h"
#include "python/src/tuned_tensors.h"
#include "sara/base/error.h"
#include "sara/methods/sara.h"
#include "sara/weights/precision.h"

namespace py = pybind11;

namespace sara::python {
namespace {

using GroupTuple = std::tuple<NamedTensors, std::optional<double>, std::optional<double>>;  // parameters, lr, weight_decay
using GroupStepTuple = std::tuple<double, double, double, double, double>;  // lr, beta1, beta2, eps, weight_decay

std::unique_ptr<AdamW> make_adamw(const std::vector<GroupTuple>& groups, const py::dict& keywords, std::optional<std::map<std::string, torch::Tensor>> tuned) {
  AdamWOptions options = options_from(keywords);
  if (tuned) options.tuned_weights(tuned_tensors(std::move(*tuned)));
  const py::gil_scoped_release unlocked;
  std::vector<ParameterGroup> out;
  for (const auto& [parameters, lr, weight_decay] : groups) out.push_back({parameters, lr, weight_decay});
  return std::make_unique<AdamW>(out, std::move(options));
}

py::dict step(AdamW& self, const std::vector<GroupStepTuple>& groups) {
  StepReport report;
  {
    const py::gil_scoped_release unlocked;
    std::vector<GroupStep> steps;
    for (const auto& [lr, beta1, beta2, eps, weight_decay] : groups) steps.push_back({lr, beta1, beta2, eps, weight_decay});
    report = self.step_keeping_gradient(steps);
  }
  py::dict out;
  out["grad_norm"] = report.grad_norm;
  out["rank_loss"] = report.rank_loss;
  out["active"] = report.active;
  out["reselected"] = report.reselected;
  out["skipped"] = report.skipped;
  return out;
}

// Tensors alone and plain objects, so that torch.load(weights_only=True) reads it back.
py::dict state(const AdamW& self) {
  const AdamWState state = self.state();
  py::dict out;
  out["values"] = state.values.values;
  out["exp_avg"] = state.values.exp_avg;
  out["exp_avg_sq"] = state.values.exp_avg_sq;
  if (state.values.exp_avg_scale.defined()) {
    out["exp_avg_scale"] = state.values.exp_avg_scale;
    out["exp_avg_sq_scale"] = state.values.exp_avg_sq_scale;
  }
  if (state.values.still_active.defined()) {
    out["still_active"] = state.values.still_active;
    out["retired"] = state.values.retired;
  }
  out["tensors"] = state.values.tensors;
  out["mask_hash"] = state.values.mask_hash;
  out["steps"] = state.steps;
  out["updates"] = state.updates;
  out["threshold"] = state.threshold;
  out["base_hashes"] = state.base_hashes;
  return out;
}

template <class T>
T entry(const py::dict& from, const char* key) {
  try {
    if (from.contains(key)) return from[key].cast<T>();
  } catch (const py::cast_error&) {
  }
  throw InvalidArgument(message("state: ", key, " is missing or of another type. Fix: load what state_dict() of a sara.AdamW gave"));
}

void load_state(AdamW& self, const py::dict& from) {
  AdamWState state;
  state.values.values = entry<torch::Tensor>(from, "values");
  state.values.exp_avg = entry<torch::Tensor>(from, "exp_avg");
  state.values.exp_avg_sq = entry<torch::Tensor>(from, "exp_avg_sq");
  if (from.contains("exp_avg_scale")) {
    state.values.exp_avg_scale = entry<torch::Tensor>(from, "exp_avg_scale");
    state.values.exp_avg_sq_scale = entry<torch::Tensor>(from, "exp_avg_sq_scale");
  }
  if (from.contains("still_active")) {
    state.values.still_active = entry<torch::Tensor>(from, "still_active");
    state.values.retired = entry<torch::Tensor>(from, "retired");
  }
  state.values.tensors = entry<std::vector<std::pair<std::string, int64_t>>>(from, "tensors");
  state.values.mask_hash = entry<std::string>(from, "mask_hash");
  state.steps = entry<int64_t>(from, "steps");
  state.updates = entry<int64_t>(from, "updates");
  state.threshold = entry<double>(from, "threshold");
  state.base_hashes = entry<std::map<std::string, std::string>>(from, "base_hashes");
  const py::gil_scoped_release unlocked;
  self.load_state_(state);
}

py::dict held_bytes(const AdamW& self) {
  const HeldBytes held = self.values().held_bytes();
  py::dict out;
  out["index"] = held.index;
  out["state"] = held.state;
  out["base"] = held.base;
  return out;
}

// float32, bfloat16 or float16 where all trained tensors agree: what the adapter says about its base.
std::optional<at::ScalarType> common_dtype(const AdamW& self) {
  std::optional<at::ScalarType> dtype;
  for (const auto& slot : self.values().slots()) {
    if (dtype && *dtype != slot.weight.scalar_type()) return std::nullopt;
    dtype = slot.weight.scalar_type();
  }
  return dtype;
}

// A Python function for a thread of the backward pass; let go of under Python's lock too.
std::function<void()> called_from_any_thread(py::function then) {
  const std::shared_ptr<py::function> held(new py::function(std::move(then)), [](py::function* function) {
    const py::gil_scoped_acquire locked;
    delete function;
  });
  return [held] {
    const py::gil_scoped_acquire locked;
    (*held)();
  };
}

}  // namespace

void register_adamw(py::module_& module) {
  // A Python hook that was removed leaves an empty one behind, which nothing in Python takes away.
  module.def("drop_post_accumulate_hook", [](const torch::Tensor& weight) { torch::autograd::impl::set_post_acc_grad_hooks(weight, nullptr); },
             py::arg("weight"));

  py::class_<AdamW>(module, "AdamW", "The sparse optimizer of sara/optim/adamw.h; sara.AdamW is its face as a torch.optim.Optimizer.")
      .def(py::init(&make_adamw), py::arg("groups"), py::arg("options"), py::arg("tuned") = py::none())
      .def("step", &step, py::arg("groups"))
      .def("zero_grad", &AdamW::zero_grad)
      .def("parameters", &AdamW::parameters)
      .def("gradient", &AdamW::gathered_gradient)
      .def("fingerprint", [](const AdamW& self) { return self.values().fingerprint(); }, py::call_guard<py::gil_scoped_release>())
      .def(
          "after_backward", [](AdamW& self, py::function then) { self.after_backward(called_from_any_thread(std::move(then))); }, py::arg("then"))
      .def("lr", &AdamW::lr)
      .def("state", &state)
      .def("load_state", &load_state, py::arg("state"))
      .def("held_bytes", &held_bytes)
      .def("group_span", [](const AdamW& self, size_t group) { return self.values().group_span(group); }, py::arg("group"))
      .def("group_block_span", [](const AdamW& self, size_t group) { return self.values().group_block_span(group); }, py::arg("group"))
      .def("trained_names", [](const AdamW& self) {
        std::vector<std::string> names;
        for (const auto& slot : self.values().slots()) names.push_back(slot.name);
        return names;
      })
      .def("precision", [](const AdamW& self) -> std::optional<std::string> {
        const auto dtype = common_dtype(self);
        return dtype ? std::optional(precision_name(*dtype)) : std::nullopt;
      })
      .def(
          "adapter", [](const AdamW& self, bool as_values) { return trained_adapter(self, self.values().learned(), as_values); }, py::arg("as_values"),
          py::call_guard<py::gil_scoped_release>())
      .def_property_readonly("threshold", &AdamW::threshold)
      .def_property_readonly("total", &AdamW::total)
      .def_property_readonly("steps", &AdamW::steps)
      .def_property_readonly("selected", [](const AdamW& self) { return self.values().selected(); })
      .def_property_readonly("active", [](const AdamW& self) { return self.values().active(); });
}

}  // namespace sara::python
