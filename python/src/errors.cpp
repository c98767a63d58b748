// SPDX-License-Identifier: Apache-2.0
#include "python/src/registers.h"
#include "sara/base/error.h"

namespace py = pybind11;

namespace sara::python {

// The library's errors as subclasses of the built-in that fits, with the same one-line text.
void register_errors(py::module_& module) {
  py::register_exception<InvalidArgument>(module, "InvalidArgument", PyExc_ValueError);
  py::register_exception<BadFile>(module, "BadFile", PyExc_ValueError);
  py::register_exception<IoError>(module, "IoError", PyExc_OSError);
  py::register_exception<NonFinite>(module, "NonFinite", PyExc_ArithmeticError);
  py::register_exception<OutOfMemory>(module, "OutOfMemory", PyExc_MemoryError);
  py::register_exception<InternalError>(module, "InternalError", PyExc_RuntimeError);
}

}  // namespace sara::python
