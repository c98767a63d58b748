// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/weights/adapter_sum.h"
#include "sara/weights/model_folder.h"

namespace sara {

struct MergeReport {
  int64_t changed_tensors = 0;
  int64_t changed_weights = 0;              // positions in the union of the masks
  std::vector<std::string> left_out;        // other copies of the changed weights (variants, pickles), not merged and so not copied
};

// Writes base + sum_k scale_k delta_k as a whole model folder. Only weight files that hold a changed tensor are written anew, each tensor
// in its own type; every other file is copied byte for byte. The folder appears at once when all of it is on the disk.
// Throws BadFile when an adapter does not fit (or, unless `force`, was made for another base), IoError, InvalidArgument when the
// output lies in the model's folder or around it.
MergeReport write_merged_folder(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, const std::string& output, bool overwrite,
                                bool force);

// The same in any layout: one file when `output` ends in .safetensors, else a folder. A single file that becomes a single file keeps every
// untouched tensor, name and metadata entry.
MergeReport write_merged_model(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, const std::string& output, bool overwrite,
                               bool force);

}  // namespace sara
