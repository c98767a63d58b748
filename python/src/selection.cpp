// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/selection.h"

#include <pybind11/stl.h>

#include "python/src/registers.h"
#include "python/src/tuned_tensors.h"
#include "sara/sparse/scope.h"

namespace py = pybind11;

namespace sara::python {

void register_selection(py::module_& module) {
  module.def(
      "mask",
      [](const NamedTensors& parameters, std::optional<double> threshold, std::optional<std::string> budget,
         const std::vector<std::string>& include, const std::vector<std::string>& exclude, bool force, const std::string& rule, uint64_t seed,
         std::optional<std::map<std::string, torch::Tensor>> tuned) {
        const Selection selection = select(in_scope(parameters, include, exclude), {threshold, std::move(budget), force, rule, seed,
                                                                                   tuned ? tuned_tensors(std::move(*tuned)) : TunedTensors{}});
        std::map<std::string, torch::Tensor> out;
        for (const MaskEntry& entry : selection.mask)
          if (entry.indices.numel()) out[entry.name] = entry.indices;
        return out;
      },
      py::arg("parameters"), py::arg("threshold"), py::arg("budget"), py::arg("include"), py::arg("exclude"), py::arg("force"), py::arg("selection"),
      py::arg("seed"), py::arg("tuned"),
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace sara::python
