// SPDX-License-Identifier: Apache-2.0
#include "cli/version.h"

namespace sara::cli {

const char* version() { return SARA_VERSION; }
const char* commit() { return SARA_COMMIT; }
const char* default_models_dir() { return SARA_MODELS_DIR; }

}  // namespace sara::cli
