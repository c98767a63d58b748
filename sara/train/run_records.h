// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "sara/data/image_folder.h"
#include "sara/train/fine_tune.h"
#include "sara/train/trainer.h"
#include "sara/weights/model_folder.h"

namespace sara {

// Every parameter of a denoiser under its name in the model, e.g. "unet.conv_in.weight".
NamedTensors denoiser_tensors(const ModelFolder& model, const Denoiser& denoiser);

// What an adapter's header says of the run it comes from (docs/formats.md).
std::map<std::string, std::string> adapter_metadata(const FineTuneRequest& request, const ModelFolder& model, double lr, int64_t steps, int64_t processes);

// skipped.txt: the images that were left out and why; no file where there are none.
void write_skipped(const std::string& path, const ImageFolderReport& report);

// nan_report.json, for a person to find the cause: the last step that was skipped, and each layer's largest weight.
Json non_finite_report(const TrainingStep& step, const std::vector<Sample>& samples, const ModelFolder& model, const Denoiser& denoiser);

}  // namespace sara
