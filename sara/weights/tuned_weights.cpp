// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/tuned_weights.h"

#include "sara/base/error.h"
#include "sara/weights/model_folder.h"

namespace sara {

TunedWeights::TunedWeights(std::string path) : path_(std::move(path)) {
  if (is_model_path(path_)) {
    const ModelFolder model(path_);
    const auto denoiser = model.denoiser_name();
    files_ = std::make_unique<WeightFiles>(model.weights(denoiser));
    for (const auto& entry : files_->entries()) entries_[denoiser + "." + entry.info->name] = entry;
    return;
  }
  file_ = std::make_unique<SafetensorsReader>(path_);
  if (const auto format = file_->metadata().find("format"); format != file_->metadata().end() && format->second == "sara-adapter")
    throw BadFile(path_, "is an adapter (expected a tuned model). Fix: merge it into its base first, or give a model folder");
  for (const auto& info : file_->tensors()) entries_[info.name] = {file_.get(), &info};
}

torch::Tensor TunedWeights::tensor(const std::string& key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) throw BadFile(path_, message("has no tensor ", escaped(key), ". Fix: use a model tuned from this base"));
  return read_tensor(found->second);
}

}  // namespace sara
