// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sara/data/image_folder.h"

namespace sara {

// DreamBooth (Ruiz et al. 2023): a few pictures of one subject are bound to a rare word, and pictures of the subject's class
// are trained beside them so that the class stays what the base model takes it for. The data folder holds the subject.
struct SubjectOptions {
  static constexpr int64_t kClassImages = 100;
  static constexpr double kPriorLossWeight = 1.0;

  bool prior_preservation = false;
  std::optional<std::string> class_data, class_prompt;
  std::optional<int64_t> num_class_images;
  std::optional<double> prior_loss_weight;

  template <class V>
  void visit(V&& v) {
    v("prior_preservation", prior_preservation, "Train on pictures of the subject's class too, one beside each of the subject's, against forgetting the class");
    v("class_data", class_data, "Folder of the class's pictures; too few of them are topped up by drawing --class-prompt with the base model");
    v("class_prompt", class_prompt, "Caption of every class picture, such as \"a photo of a dog\"");
    v("num_class_images", num_class_images, "Class pictures that are trained on, the first by name (default: all in the folder, 100 at least)", at_least(1));
    v("prior_loss_weight", prior_loss_weight, "Weight of the class pictures' loss (default: 1)", above(0));
  }
};

// Throws InvalidArgument, all problems at once: options of the class without prior_preservation, prior_preservation without
// folder or prompt, a prompt that is empty or not UTF-8, and folders of which one lies in the other.
void check_subject_options(const SubjectOptions& options, const std::string& data);

// The class's pictures that are there, each with the class prompt, and how many are to be drawn.
struct ClassFolder {
  std::vector<Sample> samples;
  int64_t missing = 0;
};

// `images` says how pictures are verified and whether bad ones are left out. Makes the folder when it is not there. Throws what
// read_image_folder throws, and IoError when pictures are missing and the folder cannot be written.
ClassFolder read_class_folder(const SubjectOptions& options, const ImageFolderOptions& images);

}  // namespace sara
