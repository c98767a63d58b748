// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/weights/adapter_sum.h"
#include "sara/weights/model_folder.h"
#include "sara/weights/tensor_file.h"

namespace sara {

// sum_k scale_k delta_k as LyCORIS full differences under kohya's names, which ComfyUI, stable-diffusion.cpp and LyCORIS add to
// the weights: `lora_unet_<path with _>.diff` [shape of the weight], `.diff_b` for its bias, `.w_norm` and `.b_norm` for norms.
// Dense: as large as the tensors it touches. A bias alone comes with a zero difference of its weight, which readers look for.
// adapters: made for this model (see require_base). dtype: fp32, bf16 or fp16.
// Throws InvalidArgument unless the model is SD 1.x or 2.x, whose names these are; BadFile for keys that are not the
// denoiser's or do not fit.
TensorMap lycoris_tensors(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, at::ScalarType dtype, bool force);

// What kohya's tools look for in such a file.
std::map<std::string, std::string> lycoris_metadata(const ModelFolder& model);

}  // namespace sara
