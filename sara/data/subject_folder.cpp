// SPDX-License-Identifier: Apache-2.0
#include "sara/data/subject_folder.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/data/captions.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

// Whether `inner` is `outer` or lies in it.
bool lies_in(const fs::path& inner, const fs::path& outer) {
  const auto whole = [](const fs::path& path) {
    const auto full = fs::weakly_canonical(fs::absolute(path));
    return full.has_filename() ? full : full.parent_path();  // "folder/" ends in an empty name
  };
  const auto a = whole(inner), b = whole(outer);
  return std::mismatch(b.begin(), b.end(), a.begin(), a.end()).first == b.end();
}

}  // namespace

void check_subject_options(const SubjectOptions& options, const std::string& data) {
  SubjectOptions given = options;
  check_options(given);
  std::vector<std::string> problems;
  if (!options.prior_preservation) {
    const auto idle = [&](const char* name, bool there) {
      if (there) problems.push_back(message(name, ": no effect without prior_preservation. Fix: add --prior-preservation, or leave it out"));
    };
    idle("class_data", options.class_data.has_value());
    idle("class_prompt", options.class_prompt.has_value());
    idle("num_class_images", options.num_class_images.has_value());
    idle("prior_loss_weight", options.prior_loss_weight.has_value());
  } else {
    if (!options.class_data || options.class_data->empty())
      problems.push_back("prior_preservation: no folder for the class's pictures. Fix: add --class-data FOLDER; it may be empty, pictures are drawn then");
    else if (lies_in(*options.class_data, data) || lies_in(data, *options.class_data))
      problems.push_back(message("class_data: lies in the folder of the subject's pictures, or they in it (", escaped(*options.class_data), "). Fix: use a folder of its own"));
    if (!options.class_prompt || trimmed(*options.class_prompt).empty())
      problems.push_back("prior_preservation: no prompt for the class's pictures. Fix: add --class-prompt TEXT, such as \"a photo of a dog\"");
    else if (const auto bad = first_bad_utf8(*options.class_prompt))
      problems.push_back(message("class_prompt: byte ", *bad, " is not UTF-8"));
  }
  std::string text;
  for (const auto& problem : problems) text += (text.empty() ? "" : "\n") + problem;
  if (!text.empty()) throw InvalidArgument(text);
}

ClassFolder read_class_folder(const SubjectOptions& options, const ImageFolderOptions& images) {
  const std::string& folder = *options.class_data;
  std::error_code failure;
  if (!fs::exists(folder, failure)) fs::create_directories(folder, failure);
  if (failure) throw IoError(folder, "cannot make the folder of the class's pictures", failure.value());
  ClassFolder out;
  if (!image_names(folder, /*quiet=*/true).empty()) {
    ImageFolderOptions reading;
    reading.caption = options.class_prompt;
    reading.verify_images = images.verify_images;
    reading.skip_bad_images = images.skip_bad_images;
    out.samples = read_image_folder(folder, reading);
  }
  const auto there = static_cast<int64_t>(out.samples.size()), wanted = options.num_class_images.value_or(std::max(there, SubjectOptions::kClassImages));
  if (there > wanted) {
    log_info(message(escaped(folder), ": ", wanted, " of ", there, " class pictures are used"));
    out.samples.resize(static_cast<size_t>(wanted));
  }
  out.missing = std::max<int64_t>(0, wanted - there);
  if (out.missing > 0 && access(folder.c_str(), W_OK | X_OK) != 0)
    throw IoError(folder, message("cannot write the ", out.missing, " class pictures that are missing. Fix: make it writable, or lower --num-class-images"), errno);
  return out;
}

}  // namespace sara
