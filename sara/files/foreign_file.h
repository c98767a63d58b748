// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace sara {

// What a file that is not safetensors seems to be, judged by its first bytes (some 512 are enough): "a zip archive, perhaps a
// PyTorch checkpoint", "a GGUF model", "an HTML page, perhaps an error page", "a Git LFS pointer", ... Empty when nothing fits.
std::string looks_like(std::string_view first_bytes);

// Throws BadFile with a line on how to convert when the name ends as pickled checkpoints do (.ckpt .pt .pth .bin .pkl .pickle,
// any case): unpickling can run any code, so such files are never opened.
void refuse_pickle(const std::string& path);

}  // namespace sara
