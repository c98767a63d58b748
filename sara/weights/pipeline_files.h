// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sara/weights/single_file.h"

namespace sara {

// A whole model of any layout and family as a conversion sees it: the weights of its components, and the small files beside them. Nothing
// is built from it, so families whose networks are not in this library pass too.
struct PipelineFiles {
  struct Component {
    std::string name, class_name;  // "unet", "UNet2DConditionModel"
    Json config;
    WeightFiles weights;
    // A tensor's name as the key maps know it: early VAE names are renewed, CLIP's have `text_model.` in front.
    std::string canonical(const std::string& tensor) const;
    bool flattened() const;  // CLIP without `text_model.`, as transformers 5.6 and later write it
  };
  std::string path, family;
  std::vector<Component> components;
  std::map<std::string, std::string> files;    // relative path -> content: configs, tokenizers, model_index.json
  std::vector<std::string> missing_tokenizers;  // that the index names and nothing gives
  std::shared_ptr<const SingleFile> single;      // when it is one
  std::vector<std::string> problems;              // components that cannot be opened, where that is asked for
};

// Throws BadFile for what is no model or of an unknown family, IoError. With `tolerant` a component that is absent or damaged
// becomes a problem in the list instead.
PipelineFiles open_pipeline(const std::string& path, const ModelReading& reading = {}, bool tolerant = false);

// Throws BadFile naming the first missing, unknown and wrongly shaped tensors of the first component whose weights are not those of its config.
// Components whose networks this library does not have are not checked.
void require_complete(const PipelineFiles& model);

}  // namespace sara
