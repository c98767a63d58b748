// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"
#include "cli/verbs.h"
#include "sara/base/error.h"
#include "sara/distributed/processes.h"
#include "sara/train/pretrain.h"

namespace sara::cli {
namespace {

struct PretrainVerb {
  struct Paths {
    std::string layout, data, output;
    template <class V>
    void visit(V&& v) {
      v("layout", layout, "Model folder in diffusers' layout without weights: configs, scheduler, tokenizer");
      v("data", data, "autoencoder: folder of pictures of one size with captions");
      v("output", output, "Folder for states, logs, cached latents and the finished model");
    }
  } paths;
  std::string stage;
  PretrainOptions options;
};

void run_pretrain(const PretrainVerb& verb) {
  if (const auto processes = processes_from_environment(); processes.count > 1)
    throw InvalidArgument(message("WORLD_SIZE: sara pretrain runs in one process (got ", processes.count, "). Fix: start it without torchrun"));
  const auto& paths = verb.paths;
  if (paths.layout.empty()) throw InvalidArgument("layout: missing. Fix: add --layout FOLDER");
  if (paths.output.empty()) throw InvalidArgument("output: missing. Fix: add --output FOLDER");
  if (verb.stage == "autoencoder") {
    if (paths.data.empty()) throw InvalidArgument("data: missing. Fix: add --data FOLDER");
    pretrain_autoencoder(paths.layout, paths.data, paths.output, verb.options);
  } else if (verb.stage == "denoiser") {
    if (!paths.data.empty()) throw InvalidArgument("data: has no effect on the denoiser stage, which reads the cached latents. Fix: leave --data out");
    pretrain_denoiser(paths.layout, paths.output, verb.options);
  } else {
    throw InvalidArgument(message("STAGE: unknown stage (expected autoencoder or denoiser, got ", escaped(verb.stage), ")"));
  }
  print(paths.output + "/model\n");
}

}  // namespace

Command pretrain_command() {
  auto verb = std::make_shared<PretrainVerb>();
  Command command("pretrain", "Train a small model from random weights");
  command.example("sara pretrain autoencoder --layout recipes/mini-sd --data out/corpus --output out/mini-sd --steps 1600 --batch-size 8")
      .example("sara pretrain denoiser --layout recipes/mini-sd --output out/mini-sd --steps 6000 --batch-size 32")
      .positional("STAGE", verb->stage, "autoencoder, then denoiser")
      .add(verb->paths)
      .add(verb->options, "Training")
      .on_run([verb](const Command&) { run_pretrain(*verb); });
  return command;
}

}  // namespace sara::cli
