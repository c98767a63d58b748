// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/extract.h"

#include "cli/adapter_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "sara/base/error.h"

namespace sara::cli {
namespace {

struct ExtractOptions {
  std::string base, tuned, output;
  bool force = false, overwrite = false, json = false;

  template <class V>
  void visit(V&& v) {
    v("base", base, "Model the tuned model started from: a folder in diffusers' layout, or a single .safetensors file");
    v("tuned", tuned, "Tuned model: a folder, a single file, or the weights of a full fine-tuning");
    v("output", output, "Adapter file to write (.safetensors)");
    v("force", force, "Extract although more than half of the weights differ, and leave out what differs outside the denoiser");
    v("overwrite", overwrite, "Replace the output");
    v("json", json, "Print one JSON object");
  }
};

void run_extract(const ExtractOptions& options) {
  if (options.base.empty()) throw InvalidArgument("--base: missing. Fix: add --base FOLDER");
  if (options.tuned.empty()) throw InvalidArgument("--tuned: missing. Fix: add --tuned FOLDER");
  require_adapter_output(options.output, options.overwrite);
  Adapter adapter = extract_adapter(ModelFolder(options.base), TunedWeights(options.tuned), options.force);
  adapter.metadata["library_version"] = version();
  save_adapter(options.output, adapter);
  int64_t values = 0;
  for (const auto& [key, tensor] : adapter.tensors) values += tensor.is_value;
  const Json result{{"output", options.output}, {"weights", adapter.count()}, {"tensors", adapter.tensors.size()}, {"as_values", values}};
  if (options.json) return print(result.dump() + "\n");
  for (const auto& [key, value] : result.items()) print(key + ": " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n");
}

}  // namespace

Command extract_command() {
  auto options = std::make_shared<ExtractOptions>();
  Command command("extract", "Write the adapter that makes a tuned model of its base, bit for bit");
  command.example("sara extract --base stable-diffusion-v1-5 --tuned my-style --output my-style.safetensors")
      .add(*options)
      .on_run([options](const Command&) { run_extract(*options); });
  return command;
}

}  // namespace sara::cli
