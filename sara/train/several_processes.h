// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "sara/train/trainer.h"

namespace sara {

// What the processes of one run do together beside the steps themselves. Every rank calls these in the same order; each returns at once in a
// run of one process.

// The device of --device: without a number of its own each process takes the GPU of its LOCAL_RANK.
c10::Device device_of_process(const std::string& name, const Processes& processes);

// Rank 0's latents and text (rows, embeddings, hashes), on every rank.
void share_encoded_(TrainingData& data, ProcessGroup& group);

// Throws InvalidArgument, on every rank, naming the first whose positions or values are not rank 0's.
void require_same_weights(ProcessGroup& group, const Method& method, const std::string& when);

// What follows a step. A signal or a wish to save that came to one process has come to all: StopSignal knows it afterwards. `due`: the step
// ends with a checkpoint anyway. Where something is saved, and after the switch, the trained weights are compared.
struct AfterStep {
  bool saves, stops;
};
AfterStep agree_after_step(ProcessGroup& group, const Method& method, const TrainingStep& step, bool due);

}  // namespace sara
