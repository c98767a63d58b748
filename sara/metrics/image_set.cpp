// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/image_set.h"

#include <algorithm>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/data/image_folder.h"
#include "sara/data/metadata_file.h"
#include "sara/files/image.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

ImageSet listed_images(const std::string& folder, const std::string& list) {
  ImageSet set{folder, {}, {}, {}, {}};
  for (const auto& row : read_metadata_jsonl(list, {})) {
    const auto path = (fs::path(folder) / row.file_name).string();
    if (!fs::is_regular_file(path)) throw BadFile(list, message("line ", row.line, ": ", escaped(row.file_name), " is not in ", escaped(folder)));
    if (row.captions.size() != 1)
      throw BadFile(list, message("line ", row.line, ": ", escaped(row.file_name), " has ", row.captions.size(), " texts (expected one, under the key text)"));
    set.paths.push_back(path);
    set.captions.push_back(row.captions[0]);
  }
  if (set.paths.empty()) throw BadFile(list, "lists no pictures");
  return set;
}

ImageSet folder_images(const std::string& folder) {
  ImageFolderOptions options;
  options.missing_caption = "empty";
  options.verify_images = "header";
  ImageSet set{folder, {}, {}, {}, {}};
  int64_t captioned = 0;
  for (const auto& sample : read_image_folder(folder, options)) {
    if (sample.captions.size() > 1) throw BadFile(sample.path, message("has ", sample.captions.size(), " captions (expected one). Fix: give --captions FILE"));
    set.paths.push_back(sample.path);
    set.captions.push_back(sample.captions[0]);
    captioned += !sample.captions[0].empty();
  }
  if (captioned == 0) set.captions.clear();
  if (captioned > 0 && captioned < set.count())
    throw BadFile(folder, message("only ", captioned, " of ", set.count(), " pictures have a caption. Fix: caption all of them, or give --captions FILE"));
  return set;
}

}  // namespace

ImageSet read_image_set(const std::string& folder, const std::optional<std::string>& captions_file) {
  if (!fs::is_directory(folder)) throw BadFile(folder, "is not a folder (expected a folder of pictures)");
  const auto drawn = (fs::path(folder) / "prompts.jsonl").string();
  ImageSet set = captions_file ? listed_images(folder, *captions_file) : fs::exists(drawn) ? listed_images(folder, drawn) : folder_images(folder);
  int64_t lossy = 0;
  for (const auto& path : set.paths) {
    const auto info = read_image_header(path);
    ++set.formats[info.format];
    ++set.sizes[message(info.width, "x", info.height)];
    lossy += info.format != "PNG";
  }
  if (lossy > 0) log_warning(message(escaped(folder), ": ", lossy, " of ", set.count(), " pictures are not PNG; lossy compression shifts FID and CLIP scores. Fix: compare only sets of one format"));
  return set;
}

Json ImageSet::summary() const { return {{"folder", folder}, {"n", count()}, {"formats", formats}, {"sizes", sizes}}; }

}  // namespace sara
