// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sara::cli {

const char* version();            // "0.1.0"
const char* commit();             // short hash of the commit this was configured at; "" outside a checkout
const char* default_models_dir(); // holds mini-sd; the environment's SARA_MODELS_DIR goes before it

}  // namespace sara::cli
