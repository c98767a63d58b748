// SPDX-License-Identifier: Apache-2.0
#include "python/src/registers.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C++ core of sara; the public face is the package sara.";
  sara::python::register_errors(module);
  sara::python::register_options(module);
  sara::python::register_selection(module);
  sara::python::register_nuclear_norm(module);
  sara::python::register_adapter(module);
  sara::python::register_layers(module);
  sara::python::register_memory(module);
  sara::python::register_adamw(module);
}
