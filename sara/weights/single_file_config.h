// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/weights/single_file_layout.h"

namespace sara {

// The config.json of a part, read off the shapes of its tensors; what shapes do not tell is as in the family's published models (8 heads a
// block in SD 1.x, 64 channels a head elsewhere; 32 norm groups). Throws BadFile when a tensor that must be there is absent.
Json derived_config(const SafetensorsReader& file, const SingleFileLayout& layout, const SingleFilePart& part, const std::string& prediction_type);

// The scheduler of the family's published models, with this prediction type ("epsilon", "v_prediction"; SD3 has none).
Json published_scheduler(const std::string& family, const std::string& prediction_type);

}  // namespace sara
