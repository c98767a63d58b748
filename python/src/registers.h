// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>
#include <torch/csrc/utils/pybind.h>

// The Python door: one register function per idea. Each only converts and calls the library.
namespace sara::python {

void register_errors(pybind11::module_& module);
void register_options(pybind11::module_& module);
void register_selection(pybind11::module_& module);
void register_nuclear_norm(pybind11::module_& module);
void register_adapter(pybind11::module_& module);
void register_layers(pybind11::module_& module);
void register_memory(pybind11::module_& module);
void register_adamw(pybind11::module_& module);

}  // namespace sara::python
