// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sara/files/json.h"

namespace sara {

// The pictures of a folder that are scored, and what they are.
struct ImageSet {
  std::string folder;
  std::vector<std::string> paths;
  std::vector<std::string> captions;      // one a picture, or none at all
  std::map<std::string, int64_t> formats;  // "PNG" -> 500
  std::map<std::string, int64_t> sizes;    // "512x512" -> 500

  int64_t count() const { return static_cast<int64_t>(paths.size()); }
  Json summary() const;  // folder, n, formats, sizes
};

// With `captions_file` (JSON lines with file_name and text): the pictures it lists, in its order. Without one, in a folder that
// `sara generate` wrote: those of its prompts.jsonl, with the prompts. Otherwise every picture in the folder, with captions as
// training reads them (metadata.jsonl, metadata.csv, a text file beside each) when all have one. Text is taken character by
// character.
// Files are told apart by content. Lossy ones are warned of: compression shifts every score. Throws BadFile (no picture, a listed
// one that is not there, captions for some pictures only, unreadable pictures), IoError.
ImageSet read_image_set(const std::string& folder, const std::optional<std::string>& captions_file = std::nullopt);

}  // namespace sara
