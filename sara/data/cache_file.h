// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "sara/weights/tensor_file.h"

namespace sara {

// Tensors that are costly to compute, kept as `<folder>/<name>-<key>.safetensors`. `key` is a hash of everything they
// depend on, so another input has another file and nothing stale is ever read. The values carry their own XXH3-128 in
// the metadata. An empty folder name keeps nothing on disk.

// The tensors, or nothing when there is no such file. A file that does not verify is named in a warning and counts as
// none.
std::optional<TensorMap> read_cache(const std::string& folder, const std::string& name, const std::string& key);

// Atomic; creates the folder. IoError.
void write_cache(const std::string& folder, const std::string& name, const std::string& key, const TensorMap& tensors);

// 32 hex digits over names, dtypes, shapes and values; the tensors may be on any device.
std::string content_hash(const TensorMap& tensors);

}  // namespace sara
