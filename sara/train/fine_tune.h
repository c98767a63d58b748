// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sara/data/clip_frames.h"
#include "sara/data/image_folder.h"
#include "sara/data/subject_folder.h"
#include "sara/data/transforms.h"
#include "sara/files/json.h"
#include "sara/methods/registry.h"
#include "sara/train/checkpoint_options.h"
#include "sara/train/flow_options.h"
#include "sara/train/memory_options.h"
#include "sara/train/train_options.h"
#include "sara/weights/single_file.h"

namespace sara {

// Where a run reads and writes, and what it shows.
struct RunOptions {
  std::string data;
  std::string output;
  bool overwrite = false;
  std::optional<std::string> cache;
  std::string device = "auto";
  std::string method = "sara";
  std::vector<std::string> sample_prompt;
  std::optional<int64_t> sample_every;
  int64_t sample_steps = 30;
  std::optional<double> sample_guidance;
  std::optional<int64_t> max_sequence_length;
  std::optional<int64_t> process_timeout;

  template <class V>
  void visit(V&& v) {
    v("data", data, "Folder of images with captions; for AnimateDiff models of clips, folders of numbered frames");
    v("output", output, "Folder for the results");
    v("overwrite", overwrite, "Replace what an earlier run left in the output folder");
    v("cache", cache, "Folder that keeps latents and text embeddings between runs (default: none is kept)");
    v("device", device, "auto, cpu, cuda or cuda:N");
    v("method", method, "Training method", one_of({"sara", "full"}));
    v("sample_prompt", sample_prompt, "Draw this prompt before and after training into samples/ (repeat for more)");
    v("sample_every", sample_every, "Draw the sample prompts after every this many steps too (default: before and after training only)", at_least(1));
    v("sample_steps", sample_steps, "Sampler steps of the samples", at_least(1));
    v("process_timeout", process_timeout, "Seconds after which a process of several gives up a silent one; one that ended is noticed at once (default: 7200)", between(1, 31536000));
    v("max_sequence_length", max_sequence_length, "Tokens of a caption that SD 3's T5 reads (default: 77)", between(1, 512));
    v("sample_guidance", sample_guidance, "Guidance scale of the samples (default: as sara generate)", at_least(0));
  }
};

struct FineTuneRequest {
  std::string model;  // a folder in diffusers' layout, or a single file
  ModelReading reading;
  bool allow_nonfinite = false;
  RunOptions run;
  TrainOptions train;
  MemoryOptions memory;
  FlowOptions flow;
  CheckpointOptions checkpoint;
  MethodOptions method;
  ImageFolderOptions images;
  SubjectOptions subject;
  ClipOptions clips;
  TransformOptions transforms;
  Json config;              // the resolved configuration, kept in the adapter's metadata
  std::string config_toml;  // the same as TOML, written into the run folder
};

// The whole of `sara train`: checks everything the end will need, draws the class's pictures that are missing, caches latents and text, frees the encoders, trains the
// denoiser, and leaves in the output folder: adapter.safetensors (weights.safetensors for `full`), config.toml,
// metrics.jsonl, samples/, summary.json, loss.svg, report.html, and skipped.txt when bad images were left out. An error
// after the first step saves what is trained before it goes on to the caller; a run that became non-finite leaves the last
// finite weights in emergency/ and nan_report.json instead. With checkpoints, checkpoints/step-N/ too; a resumed run leaves
// what the uninterrupted one would have left. Returns summary.json's content; its key "stopped" is the signal's exit code when
// SIGINT or SIGTERM ended the run early, after everything and a checkpoint was saved.
//
// Under torchrun (distributed/processes.h) several processes train together, each its rows of a batch; rank 0 alone encodes, writes, draws and
// reports. Of the other ranks' summaries there is "rank", and "stopped". Throws InvalidArgument, in all of them, when their settings, selected weights or
// trained values differ at the start, at the switch, or where a result is saved.
Json fine_tune(const FineTuneRequest& request);

}  // namespace sara
