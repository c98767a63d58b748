// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "sara/files/json.h"

namespace sara {

// config.json of a component; nothing when the model does not hold it.
using ComponentConfigs = std::function<std::optional<Json>(const std::string& component)>;

// What keeps the parts of a model from working together, read off their configs: the width of the text embeddings, the width of the pooled
// text, the channels of the latents. "" when nothing does; parts that are absent or do not say are not judged.
//   "width of the text embeddings (expected 2048, got 768)": the denoiser's, and what the others give
std::string parts_apart(const std::string& family, const ComponentConfigs& config);

}  // namespace sara
