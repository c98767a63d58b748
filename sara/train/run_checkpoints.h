// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <optional>
#include <string>

#include "sara/sparse/named_tensors.h"
#include "sara/train/checkpoint.h"
#include "sara/train/checkpoint_files.h"
#include "sara/train/checkpoint_options.h"

namespace sara {

// Throws InvalidArgument for options that contradict each other or would have no effect.
void check_checkpoint_options(const CheckpointOptions& options, bool overwrite);

// XXH3-128 of names and bytes of a model's weights as they are in memory.
std::string weights_hash(const NamedTensors& weights);
// Of all that the samples depend on: pictures, captions, settings and encoders.
std::string data_hash(const TrainingData& data);

// The checkpoints of one run: where it goes on from, and what it saves. A resumed run is the uninterrupted one bit for bit
// as long as options, base weights, data, threads, device and versions are those of the checkpoint; what differs is printed, and refused
// without allow_change. Options that change nothing that is trained may differ.
class RunCheckpoints {
 public:
  // `config`: every option by name, "sara_version" too. `run_folder` is locked by the caller. With options.resume, finds the newest
  // whole checkpoint. Throws InvalidArgument when there is none, the run is finished, `steps` are fewer than were taken, or a
  // difference is not allowed; BadFile for a damaged checkpoint under `strict`.
  RunCheckpoints(const std::string& run_folder, const CheckpointOptions& options, const Json& config, c10::Device device, int64_t steps, int64_t processes = 1);

  // What all processes of a run must have in common: the options that change what is trained or when it is saved, the environment, and
  // the step that is resumed from, as a text.
  std::string settings() const;

  bool resumed() const { return resumed_.has_value(); }

  // To be told before the first save and before restored(); throw InvalidArgument for a difference that is not allowed.
  void base_is(const std::string& hash) { fact_is("base_hash", hash, "the model's weights"); }
  void data_is(const std::string& hash) { fact_is("data_hash", hash, "pictures, captions or their encoders"); }

  RunState restored() const;  // where resumed() goes on from

  bool due(int64_t step) const { return options_.checkpoint_every && step % *options_.checkpoint_every == 0; }
  // Saves, reads back and verifies; then older ones beyond the limit go. Does nothing when this step is saved already.
  // Throws IoError naming the checkpoint that is still there.
  void save(const RunState& state);
  std::optional<int64_t> last_saved() const { return saved_; }

 private:
  void fact_is(const char* name, const std::string& value, const char* what);
  void saved(int64_t step);
  void refuse_or_tell(const std::vector<std::string>& differences) const;

  std::string run_folder_;
  CheckpointOptions options_;
  CheckpointFiles files_;
  Json facts_;
  std::optional<Checkpoint> resumed_;
  std::optional<int64_t> saved_;
};

}  // namespace sara
