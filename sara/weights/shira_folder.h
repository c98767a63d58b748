// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/weights/adapter_sum.h"
#include "sara/weights/model_folder.h"

namespace sara {

struct ShiraReport {
  int64_t layers, rank, values;  // values: rank (in + out) of every layer, the filled-up zeros among them
};

// sum_k scale_k delta_k as a PEFT adapter of kind SHiRA: a folder with adapter_config.json and adapter_model.safetensors, which
// peft.PeftModel.from_pretrained(unet, folder) loads. PEFT keeps r (in + out) values in every layer, with one r for all: the least r
// that holds every mask is taken, and masks are filled up with positions of difference 0.
// Throws BadFile when the adapter does not fit the model; InvalidArgument where SHiRA cannot hold the mask: tensors that are not
// weights of linear layers, or a mask so dense that r (in + out) exceeds a layer.
ShiraReport write_shira_folder(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, const std::string& output, bool overwrite,
                               at::ScalarType dtype, bool force);

}  // namespace sara
