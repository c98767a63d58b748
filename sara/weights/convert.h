// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sara/weights/pipeline_files.h"

namespace sara {

// New weights for some tensors, by component and name.
using ChangedTensors = std::map<std::string, std::map<std::string, torch::Tensor>>;

// Metadata of a single file: the text encoders whose names had no `text_model.` in front in the folder it was made of.
inline constexpr const char* kFlattened = "sara.flattened";

struct ConvertOptions {
  std::optional<c10::ScalarType> dtype;          // of every floating-point tensor; nothing: each keeps its own
  std::string variant;                           // "" or "fp16": part of the weight files' names (folders)
  uint64_t shard_bytes = 10'000'000'000;         // a component's weights that are larger are split (folders)
  bool overwrite = false;
};

struct ConvertReport {
  int64_t tensors = 0;
  uint64_t bytes = 0;                  // of weights
  std::vector<std::string> left_out;   // components and tensors for which the layout has no place
};

// Writes a model as one file under the names of the original training code, one tensor in memory at a time; configs and tokenizers go into
// its metadata, so that a folder comes back bit for bit. Components without a place (safety_checker, ...) are left out and reported.
// Throws BadFile when a tensor has no place or a fused tensor lacks a part, InvalidArgument, IoError.
ConvertReport write_single_file(const PipelineFiles& model, const ChangedTensors& changed, const std::string& output, const ConvertOptions& options);

// Writes a model as a folder in diffusers' layout (for a motion module: the folder of a MotionAdapter), all of it at once.
// Throws BadFile when the model lacks a tokenizer that a folder needs, InvalidArgument, IoError.
ConvertReport write_model_folder(const PipelineFiles& model, const ChangedTensors& changed, const std::string& output, const ConvertOptions& options);

}  // namespace sara
