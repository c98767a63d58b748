// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>

#include "cli/config_file.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "sara/base/error.h"
#include "sara/distributed/processes.h"
#include "sara/train/fine_tune.h"
#include "sara/weights/model_folder.h"

namespace sara::cli {
namespace {

struct TrainVerb {
  ModelOptions model;
  FineTuneRequest request;
  struct Output {
    bool json = false;
    template <class V>
    void visit(V&& v) {
      v("json", json, "Print the summary as one JSON object");
    }
  } output;
};

bool left_at_default(const Command& command, const std::string& name) {
  for (const auto& field : command.fields()) {
    if (field.name == name) return field.origin == "default";
  }
  return true;
}

// For a shell.
std::string quoted(const std::string& text) {
  if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=+,:@%") == std::string::npos) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

std::string resume_command(const std::string& output, const Command& command) {
  const auto threads = command.global().threads;
  return message("sara train --config ", quoted(output + "/config.toml"), threads ? message(" --threads ", *threads) : "", " --resume");
}

void run_train(TrainVerb& verb, const Command& command) {
  auto& request = verb.request;
  request.model = model_path(verb.model);
  request.allow_nonfinite = verb.model.allow_nonfinite;
  request.reading = model_reading(verb.model);
  if (left_at_default(command, "resolution")) request.transforms.resolution = open_model(verb.model).resolution();
  request.config = command.resolved();
  for (const char* act : {"overwrite", "resume", "allow_change", "strict"}) request.config.erase(act);  // of this start alone, not of the run
  request.config_toml = toml_text(request.config);
  request.config["sara_version"] = version();
  const Processes processes = processes_from_environment();
  if (processes.count > 1 && !command.global().threads) at::set_num_threads(static_cast<int>(default_threads(processes)));
  const auto summary = fine_tune(request);
  if (processes.rank > 0) {
    if (summary.contains("stopped")) throw Error(message("rank ", processes.rank, ": stopped by a signal; rank 0 has saved the run"), summary["stopped"].get<int>());
    return;
  }
  if (summary.contains("stopped")) {
    throw Error(message("stopped by a signal after step ", summary["steps"].dump(), "; ", summary["result"].get<std::string>(), " and the whole state are saved in ",
                        request.run.output, ". Fix: go on with ", processes.count > 1 ? message("the same launcher, ", processes.count, " processes of ") : "",
                        resume_command(request.run.output, command)),
                summary["stopped"].get<int>());
  }
  if (verb.output.json) {
    print(summary.dump() + "\n");
  } else {
    for (const auto& [key, value] : summary.items()) print(key + ": " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n");
  }
}

}  // namespace

Command train_command() {
  auto verb = std::make_shared<TrainVerb>();
  Command command("train", "Fine-tune a model on a folder of images");
  command.example("sara train --data photos --output run")
      .example("sara train --model stable-diffusion-v1-5 --data photos --output run --budget 50M --steps 2000")
      .example("sara train --data dog --caption \"a photo of sks dog\" --prior-preservation --class-data dogs --class-prompt \"a photo of a dog\" --output run")
      .example("sara train --config run/config.toml --resume")
      .add(verb->model)
      .add(verb->request.run, "Run")
      .add(verb->request.train, "Training")
      .add(verb->request.memory, "Training")
      .add(verb->request.flow, "Training")
      .add(verb->request.checkpoint, "Checkpoints")
      .add(verb->request.method, "Method")
      .add(verb->request.images, "Images and captions")
      .add(verb->request.clips, "Images and captions")
      .add(verb->request.transforms, "Images and captions")
      .add(verb->request.subject, "Subject (DreamBooth)")
      .add(verb->output, "Output")
      .on_run([verb](const Command& self) { run_train(*verb, self); });
  return command;
}

}  // namespace sara::cli
