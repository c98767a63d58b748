// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/distributed/process_group.h"
#include "sara/train/fine_tune.h"
#include "sara/train/trainer.h"
#include "sara/weights/model_folder.h"

namespace sara {

// How many tokens of a caption the T5 encoder of a Stable Diffusion 3 model reads, if that is set: training reads shorter captions
// than drawing unless told otherwise.
std::optional<int64_t> t5_length(const FineTuneRequest& request, const ModelFolder& model);

// The type text encoders run in. Stable Diffusion 3's are larger than its denoiser: they follow --precision; those of the others are fp32.
c10::ScalarType text_dtype(const FineTuneRequest& request, const ModelFolder& model);

// Latents and text embeddings of every sample, encoded by rank 0 and given to all. The encoders live only inside.
TrainingData encode_training_data(const FineTuneRequest& request, const ModelFolder& model, const std::vector<Sample>& samples, c10::Device device, ProcessGroup& group);

}  // namespace sara
