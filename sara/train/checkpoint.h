// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sara/methods/method_state.h"
#include "sara/train/progress.h"
#include "sara/train/trainer.h"

namespace sara {

// A whole run between two optimizer steps. Order of samples, noise, flips and the matrices of the rank loss are drawn by
// (seed, step) alone, so that the step is all that is kept of them.
struct RunState {
  MethodState method;
  TrainerState trainer;
  ProgressState progress;
};

// One folder: state.safetensors (the tensors, "method.<name>" and "progress.<name>"), state.json (everything that is a number
// or a name) and files/manifest.h's two. `facts`: what the manifest says beside the files; "step" is added.
// Appears whole or not at all: written as `<path>.tmp.<pid>`, flushed to the disk, renamed. Throws IoError; what was written is
// removed then, and an older folder at the path is still there: it is never written over.
void write_checkpoint(const std::string& path, const RunState& state, const Json& facts);

// Of a folder whose manifest was verified. Throws BadFile for what this version does not understand; IoError.
RunState read_checkpoint(const std::string& path);

}  // namespace sara
