// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/stl.h>

#include "python/src/registers.h"
#include "sara/optim/adamw_options.h"

namespace sara::python {

// The optimizer's options from keywords of the same names. Throws InvalidArgument for an unknown name (with the nearest
// known one) and a value of the wrong type; ranges are checked by the optimizer.
AdamWOptions options_from(const pybind11::dict& keywords);

}  // namespace sara::python
