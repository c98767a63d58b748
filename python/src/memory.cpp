// SPDX-License-Identifier: Apache-2.0
#include "python/src/registers.h"
#include "sara/base/tensor_memory.h"

namespace py = pybind11;

namespace sara::python {

void register_memory(py::module_& module) {
  module.def("pool_tensor_memory", &pool_tensor_memory);
  module.def("tensor_memory", &tensor_memory, R"("pool" or "libtorch")");
}

}  // namespace sara::python
