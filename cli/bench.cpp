// SPDX-License-Identifier: Apache-2.0
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "sara/base/device.h"
#include "sara/base/error.h"
#include "sara/layers/conv.h"
#include "sara/models/config.h"
#include "sara/models/initialize.h"
#include "sara/models/mmdit.h"
#include "sara/models/unet.h"
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
  std::shared_ptr<Denoiser> denoiser;
  std::string component;
  int64_t pixels_a_latent;
};

// Null for a name that is not known.
std::shared_ptr<Denoiser> random_denoiser(const std::string& known, const torch::TensorOptions& options) {
  if (known == "sd15") return std::make_shared<UNet2DConditionModel>(sd15(), options);
  if (known == "sd20") return std::make_shared<UNet2DConditionModel>(sd20(), options);
  if (known == "sdxl") return std::make_shared<UNet2DConditionModel>(sdxl(), options);
  if (known == "animatediff") return std::make_shared<UNet2DConditionModel>(animatediff_v2(), options);
  if (known == "sd3") return std::make_shared<SD3Transformer2DModel>(sd3_medium(), options);
  if (known == "sd35") return std::make_shared<SD3Transformer2DModel>(sd35_medium(), options);
  return nullptr;
}

BenchModel opened(const BenchVerb& verb) {
  const auto dtype = dtype_from_precision(verb.step.precision);
  const auto device = device_from_name(verb.step.device);
  const std::string name = verb.model.model.value_or("mini-sd");
  if (name.rfind("random:", 0) == 0) {
    if (verb.model.allow_nonfinite) throw InvalidArgument("--allow-nonfinite: has no effect with random weights. Fix: leave it out");
    const auto known = name.substr(7);
    auto denoiser = random_denoiser(known, torch::dtype(dtype));
    if (!denoiser)
      throw InvalidArgument(message("model: unknown configuration (expected random:sd15, sd20, sdxl, animatediff, sd3 or sd35, got ", escaped(name), ")"));
    initialize_(*denoiser, verb.method.seed());
    denoiser->to(device);
    lay_out_for_device_(*denoiser);
    return {name, denoiser, known.rfind("sd3", 0) == 0 ? "transformer" : "unet", kPublishedFactor};
  }
  const ModelFolder folder = open_model(verb.model);
  return {folder.name(), folder.load_denoiser(dtype, device), folder.denoiser_name(), folder.read_config<VaeConfig>("vae").factor()};
}

void run_bench(const BenchVerb& verb) {
  if (verb.what != "train-step") throw InvalidArgument(message("WHAT: unknown bench (expected train-step, got ", escaped(verb.what), ")"));
  if (verb.method.adapter_dtype != MethodOptions().adapter_dtype) throw InvalidArgument("--adapter-dtype: has no effect here, nothing is saved. Fix: leave it out");
  if (verb.model.tokenizer || verb.model.prediction_type)
    throw InvalidArgument("--tokenizer, --prediction-type: have no effect here, a step needs the denoiser alone. Fix: leave them out");
  auto model = opened(verb);
  Json result{{"model", model.name}};
  result.update(bench_train_step(std::move(model.denoiser), model.component, model.pixels_a_latent, verb.step, verb.memory, verb.method));
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
