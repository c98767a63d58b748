// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/convert.h"

#include <charconv>
#include <filesystem>

#include "cli/adapter_output.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/foreign_file.h"
#include "sara/weights/precision.h"

namespace sara::cli {
namespace {

namespace fs = std::filesystem;

struct ConvertVerb {
  ModelOptions model;
  struct Options {
    std::string output, max_shard_size = "10GB";
    std::optional<std::string> dtype, variant;
    bool overwrite = false, json = false;
    template <class V>
    void visit(V&& v) {
      v("output", output, "A name ending in .safetensors for one file, another for a folder in diffusers' layout");
      v("dtype", dtype, "Type of all weights (default: each keeps its own)", one_of({"fp32", "bf16", "fp16"}));
      v("variant", variant, "Part of the weight files' names in a folder: fp16 writes model.fp16.safetensors", one_of({"fp16"}));
      v("max_shard_size", max_shard_size, "Largest weight file of a folder, as 10GB or 500MB; a larger component is split into shards");
      v("overwrite", overwrite, "Replace what the output holds");
      v("json", json, "Print one JSON object");
    }
  } options;
};

uint64_t bytes_in(const std::string& text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  const uint64_t factor = unit == "GB" ? 1'000'000'000 : unit == "MB" ? 1'000'000 : unit == "KB" ? 1'000 : 0;
  if (error != std::errc() || factor == 0 || number == 0 || number > 1'000'000'000)
    throw InvalidArgument(message("--max-shard-size: not a size (expected a whole number and GB, MB or KB, got ", escaped(text), ")"));
  return number * factor;
}

void require_no_overlap(const std::string& model, const std::string& output) {
  const auto a = fs::weakly_canonical(model), b = fs::weakly_canonical(output);
  for (const auto& [inner, outer] : {std::pair(a, b), std::pair(b, a)}) {
    const auto way = inner.lexically_relative(outer);
    if (!way.empty() && *way.begin() != "..")
      throw InvalidArgument(message("--output: ", escaped(output), " is the model, lies in it or holds it. Fix: choose another --output"));
  }
}

void run_convert(const ConvertVerb& verb) {
  const auto& options = verb.options;
  if (options.output.empty()) throw InvalidArgument("--output: missing. Fix: add --output FILE.safetensors or --output FOLDER");
  const std::string source = model_path(verb.model);
  const bool to_file = fs::path(options.output).extension() == ".safetensors";
  ConvertOptions how;
  if (options.dtype) how.dtype = dtype_from_precision(*options.dtype);
  how.variant = options.variant.value_or("");
  how.shard_bytes = bytes_in(options.max_shard_size);
  how.overwrite = options.overwrite;
  require_no_overlap(source, options.output);
  if (to_file) {
    if (options.variant) throw InvalidArgument("--variant: has no effect on one file. Fix: leave it out");
    if (options.max_shard_size != ConvertVerb::Options().max_shard_size) throw InvalidArgument("--max-shard-size: has no effect on one file. Fix: leave it out");
    require_adapter_output(options.output, options.overwrite);
  } else if (fs::path(options.output).has_extension()) {
    try {
      refuse_pickle(options.output);
    } catch (const BadFile&) {
      throw InvalidArgument(message("--output: pickled files are not written (got ", escaped(options.output), "). Fix: end the name in .safetensors"));
    }
  }
  const PipelineFiles model = open_pipeline(source, model_reading(verb.model));
  const ConvertReport report = to_file ? write_single_file(model, {}, options.output, how) : write_model_folder(model, {}, options.output, how);
  if (!report.left_out.empty())
    log_warning(message(options.output, ": left out, because this layout has no place for them: ", first_five(report.left_out)));
  const Json result{{"output", options.output}, {"family", model.family}, {"tensors", report.tensors}, {"bytes", report.bytes}};
  if (options.json) return print(result.dump() + "\n");
  for (const auto& [key, value] : result.items()) print(key + ": " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n");
}

}  // namespace

Command convert_command() {
  auto verb = std::make_shared<ConvertVerb>();
  Command command("convert", "Write a model in another layout or type: folder, single file, fp16 variant, shards");
  command.example("sara convert --model stable-diffusion-v1-5 --output sd15.safetensors --dtype fp16")
      .example("sara convert --model sd15.safetensors --tokenizer clip-tokenizer --output stable-diffusion-v1-5")
      .add(verb->model)
      .add(verb->options)
      .on_run([verb](const Command&) { run_convert(*verb); });
  return command;
}

}  // namespace sara::cli
