// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sara/files/json.h"

namespace sara {

// One whole checkpoint on the disk.
struct Checkpoint {
  int64_t step = 0;
  std::string path;  // <run>/checkpoints/step-N
  Json manifest;
};

// The checkpoints of one run folder, which the caller has locked: `<run>/checkpoints/step-N`, N without leading zeros.
class CheckpointFiles {
 public:
  explicit CheckpointFiles(const std::string& run_folder);

  std::string path(int64_t step) const;
  void make_folder() const;  // when it is missing, so that it survives a power loss; throws IoError

  // The highest step whose manifest verifies, contents read. Every damaged one above it is named in a warning and left
  // as it is; with `strict` the first of them throws its BadFile. Nothing when no whole one is there.
  std::optional<Checkpoint> newest(bool strict = false) const;

  // Removes what a killed save or removal left (`step-N.tmp.*`, `step-N.old.*`), naming what was being saved.
  void remove_unfinished() const;

  // Moves a damaged step-N aside, to step-N.damaged: a save at the same step needs the name. Throws IoError.
  void set_aside(int64_t step) const;

  // Leaves the newest `limit` checkpoints up to `newest_step`, not below one. Only whole ones count and go. Throws IoError.
  void prune(int64_t limit, int64_t newest_step) const;

 private:
  std::string folder_;
};

}  // namespace sara
