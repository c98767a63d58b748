// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "sara/data/subject_folder.h"
#include "sara/pipelines/text_to_image.h"
#include "sara/train/objective.h"

namespace sara {

// Draws `count` pictures of the class prompt into the folder, as "<number>-<hash of the pixels>.png" with numbers from `first`, each
// written as soon as it is drawn, so that a stopped start goes on where it was. Picture n has seed `how.seed` + n and the model's
// own size. Throws IoError.
void draw_class_pictures(const TextToImageParts& parts, const std::string& folder, const std::string& prompt, int64_t first, int64_t count, GenerateOptions how);

// The loss of a batch whose first half shows the subject and whose second half shows the class:
//   loss(subject) + weight · loss(class),
// each the objective's own mean over its half (Ruiz et al. 2023, Eq. 2).
struct PriorPreservingLoss {
  torch::Tensor total, class_part;  // scalars; class_part without its weight
};
PriorPreservingLoss prior_preserving_loss(const torch::Tensor& answer, const LossTerms& terms, double weight);

}  // namespace sara
