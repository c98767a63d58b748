// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/files/image.h"
#include "sara/files/json.h"

namespace sara::cli {

// The output folder of `generate`: 0000.png, 0001.png, ..., prompts.jsonl with a line a picture, config.toml, grid.png.
// A clip is an animated 0000.png and the folder 0000 with its frames 0000.png, 0001.png, ....
class PictureFolder {
 public:
  // Throws IoError when the folder holds files and `overwrite` is not set, or cannot be written. `overwrite` removes
  // what an earlier run of generate left there, and nothing else.
  PictureFolder(std::string path, bool overwrite);

  std::string file(const std::string& name) const;
  std::string add(int64_t index, const Image& picture, const std::string& prompt, int64_t seed,
                  double scale);  // its path; scale: the factor on the adapters' scales
  std::string add_clip(int64_t index, const std::vector<Image>& frames, int64_t frames_per_second, const std::string& prompt, int64_t seed, double scale);
  void finish() const;  // writes prompts.jsonl

 private:
  std::string path_, lines_;
};

}  // namespace sara::cli
