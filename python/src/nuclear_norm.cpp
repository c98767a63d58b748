// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/nuclear_norm.h"

#include <torch/utils.h>

#include "python/src/registers.h"

namespace py = pybind11;

namespace sara::python {

void register_nuclear_norm(py::module_& module) {
  module.def(
      "nuclear_norm",
      [](const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns) {
        const NuclearNorm norm = nuclear_norm(values, indices, rows, columns);
        return std::pair(norm.value, norm.gradient);
      },
      py::arg("values"), py::arg("indices"), py::arg("rows"), py::arg("columns"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace sara::python
