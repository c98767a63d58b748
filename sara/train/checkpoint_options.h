// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "sara/base/options.h"

namespace sara {

// When a run saves its whole state, and how it goes on from one.
struct CheckpointOptions {
  std::optional<int64_t> checkpoint_every;
  std::optional<int64_t> checkpoints_limit;
  bool resume = false;
  bool allow_change = false;
  bool strict = false;

  template <class V>
  void visit(V&& v) {
    v("checkpoint_every", checkpoint_every, "Save the whole state to checkpoints/step-N after every this many steps (default: only when a signal stops the run)", at_least(1));
    v("checkpoints_limit", checkpoints_limit, "Keep this many checkpoints, the newest; older ones go once a new one was read back (default: all)", at_least(1));
    v("resume", resume, "Go on from the newest whole checkpoint in the output folder, bit for bit");
    v("allow_change", allow_change, "Resume with other settings, data, threads or versions than the run was made with; the difference is printed");
    v("strict", strict, "With --resume: stop when a checkpoint is damaged, instead of going on from the one before");
  }
};

}  // namespace sara
