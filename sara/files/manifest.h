// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/files/json.h"

namespace sara {

// A folder that proves itself whole. manifest.json holds the writer's own facts and
//   "files": {"state.safetensors": {"bytes": 4096, "xxh3_128": "<32 hex digits>"}, ...}
// manifest.xxh3 holds the XXH3-128 of manifest.json. Names are plain file names in the folder itself.

// Writes the two files for `names`, manifest.xxh3 last. Throws IoError.
void write_manifest(const std::string& folder, const std::vector<std::string>& names, Json facts);

// manifest.json, after its own hash and the size of every file have been compared. Throws BadFile naming the file that is missing,
// cut or changed; IoError.
Json read_manifest(const std::string& folder);

// The same, and the content of every file too.
Json verified_manifest(const std::string& folder);

}  // namespace sara
