// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sara/base/options.h"

namespace sara {

// One training image or clip. captions has at least one element; several are drawn from at random, one an epoch (captions.h).
struct Sample {
  std::string path;  // of a clip its folder
  std::vector<std::string> captions;
  std::vector<std::string> frames{};  // files of a clip in their order; an image has none
};

struct ImageFolderOptions {
  std::string image_column = "image";
  std::string caption_column = "text";
  std::string caption_extension = ".txt";
  std::optional<std::string> caption;
  std::string caption_prefix;
  std::string missing_caption = "error";
  std::string verify_images = "full";
  bool skip_bad_images = false;

  template <class V>
  void visit(V&& v) {
    v("image_column", image_column, "Metadata column with the file; \"image\" stands for file_name");
    v("caption_column", caption_column, "Metadata column with the caption, a string or a list of strings");
    v("caption_extension", caption_extension,
      "Extension of the caption file beside an image; .txt and .caption are always seen");
    v("caption", caption, "One caption for every image; captions in files are then not read");
    v("caption_prefix", caption_prefix, "Text put before every caption, such as \"blueprint style, \"");
    v("missing_caption", missing_caption,
      "An image without a caption, or with an empty one: stop, train it on the empty caption, or leave it out",
      one_of({"error", "empty", "skip"}));
    v("verify_images", verify_images, "Check only the header of every image before the first step, or decode all of it",
      one_of({"header", "full"}));
    v("skip_bad_images", skip_bad_images, "Leave images out that cannot be read, instead of stopping");
  }
};

// What was left out or noticed, for the run's records.
struct ImageFolderReport {
  std::map<std::string, std::string> skipped;  // path → reason
  std::map<std::string, int64_t> notices;      // what reading does to an image beyond decoding → number of images
};

// Paths of the images in a folder and the folders in it, relative to it, sorted; may be none. Warns of pictures in formats that
// are not read, unless `quiet`. IoError.
std::vector<std::string> image_names(const std::string& folder, bool quiet = false);

// All images (.png .jpg .jpeg .webp, any case) in a folder and the folders in it, sorted by path; names that begin with
// a dot are passed over. Captions come from `metadata.jsonl` or `metadata.csv` in the folder itself, or from a text
// file beside the image, or from options.caption. An image with two sources of captions is an error, as is a metadata
// row without its image.
//
// Every image is checked (header, or all pixels with verify_images "full"); single rows or columns of pixels are bad
// images too. Throws BadFile that lists five of them and the total: bad images, missing or empty captions, no image at
// all. InvalidArgument for options out of range; IoError. What is noticed or left out is logged and, if asked for,
// reported.
std::vector<Sample> read_image_folder(const std::string& folder, const ImageFolderOptions& options,
                                      ImageFolderReport* report = nullptr);

// The same for clips: every folder that holds images is one, its frames being these in the order of the last number in
// their names. Captions come from metadata rows that name the folder, or from a text file beside it: clip/0001.png, ... and
// clip.txt. A clip is bad when a frame is, or when its frames differ in size; a frame without a number is an error.
std::vector<Sample> read_clip_folder(const std::string& folder, const ImageFolderOptions& options,
                                     ImageFolderReport* report = nullptr);

}  // namespace sara
