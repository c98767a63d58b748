// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "sara/train/dreambooth.h"
#include "sara/train/fine_tune.h"
#include "sara/weights/model_folder.h"

namespace sara {

// Pictures that a run draws with the denoiser as it stands; the other parts of the model are loaded for this and freed again.

// The sample prompts, as 0.png, 1.png, ... in `folder` (clips as animated PNG). Nothing without prompts.
void draw_samples(const FineTuneRequest& request, const ModelFolder& model, std::shared_ptr<Denoiser> denoiser, const std::filesystem::path& folder);

// "step-000500": as many digits as sort by name for any run.
std::string sample_folder_name(int64_t step);

// The class's pictures (DreamBooth) once the missing ones are drawn, by a denoiser that is still the base.
ClassFolder draw_missing_class_pictures(const FineTuneRequest& request, const ModelFolder& model, std::shared_ptr<Denoiser> denoiser, const ClassFolder& folder);

}  // namespace sara
