// SPDX-License-Identifier: Apache-2.0
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "sara/base/error.h"
#include "sara/models/config.h"
#include "sara/models/initialize.h"
#include "sara/train/step_bench.h"
#include "sara/weights/model_folder.h"
#include "sara/weights/precision.h"

namespace sara::cli {
namespace {

struct BenchVerb {
  std::string what;
  ModelOptions model;
  StepBenchOptions step;
  MemoryOptions memory;
  MethodOptions method;
  struct Output {
    bool json = false;
    template <class V>
    void visit(V&& v) {
      v("json", json, "Print one JSON object");
    }
  } output;
};

struct BenchModel {
  std::string name;
  std::shared_ptr<UNet2DConditionModel> unet;
  int64_t pixels_a_latent;
};

BenchModel opened(const BenchVerb& verb) {
  const auto dtype = dtype_from_precision(verb.step.precision);
  const std::string name = verb.model.model.value_or("mini-sd");
  if (name.rfind("random:", 0) == 0) {
    if (verb.model.allow_nonfinite) throw InvalidArgument("--allow-nonfinite: has no effect with random weights. Fix: leave it out");
    const auto known = name.substr(7);
    if (known != "sd15" && known != "sd20") throw InvalidArgument(message("model: unknown configuration (expected random:sd15 or random:sd20, got ", escaped(name), ")"));
    auto unet = std::make_shared<UNet2DConditionModel>(known == "sd15" ? sd15() : sd20(), torch::dtype(dtype));
    initialize_(*unet, verb.method.seed());
    return {name, unet, kPublishedFactor};
  }
  const ModelFolder folder = open_model(verb.model);
  const auto unet = folder.load_unet(dtype);
  return {folder.name(), unet, folder.read_config<VaeConfig>("vae").factor()};
}

void run_bench(const BenchVerb& verb) {
  if (verb.what != "train-step") throw InvalidArgument(message("WHAT: unknown bench (expected train-step, got ", escaped(verb.what), ")"));
  if (verb.method.adapter_dtype != MethodOptions().adapter_dtype) throw InvalidArgument("--adapter-dtype: has no effect here, nothing is saved. Fix: leave it out");
  if (verb.model.tokenizer || verb.model.prediction_type)
    throw InvalidArgument("--tokenizer, --prediction-type: have no effect here, a step needs the denoiser alone. Fix: leave them out");
  auto model = opened(verb);
  Json result{{"model", model.name}};
  result.update(bench_train_step(std::move(model.unet), model.pixels_a_latent, verb.step, verb.memory, verb.method));
  result["commit"] = commit();
  if (verb.output.json) return print(result.dump() + "\n");
  for (const auto& [key, value] : result.items()) print(key + ": " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n");
}

}  // namespace

Command bench_command() {
  auto verb = std::make_shared<BenchVerb>();
  Command command("bench", "Measure time and memory of a training step");
  command.example("sara bench train-step --model random:sd15 --resolution 256 --batch-size 1 --budget 50M --precision fp32 --json")
      .positional("WHAT", verb->what, "train-step")
      .add(verb->model)
      .add(verb->step)
      .add(verb->memory)
      .add(verb->method, "Method")
      .add(verb->output, "Output")
      .on_run([verb](const Command&) { run_bench(*verb); });
  return command;
}

}  // namespace sara::cli
