// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>
#include <torch/utils.h>

#include <sstream>

#include "cli/adapter_choice.h"
#include "cli/config_file.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/picture_folder.h"
#include "cli/verbs.h"
#include "sara/base/device.h"
#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/data/captions.h"
#include "sara/files/atomic_file.h"
#include "sara/pipelines/contact_sheet.h"
#include "sara/pipelines/text_to_video.h"
#include "sara/weights/precision.h"

namespace sara::cli {
namespace {

constexpr int64_t kFramesPerSecond = 8;

struct PromptOptions {
  std::vector<std::string> prompt;
  std::optional<std::string> prompts;
  std::vector<std::string> scales;
  std::string output;
  bool overwrite = false, grid = false;
  std::optional<int64_t> fps;
  std::string precision = "fp32", device = "auto";

  template <class V>
  void visit(V&& v) {
    v("prompt", prompt, "What to draw; repeat for several");
    v("prompts", prompts, "File with one prompt a line");
    v("scales", scales, "Draw everything once at each of these factors on the adapters' scales; repeat for several (columns of --grid)");
    v("output", output, "Folder for the pictures: 0000.png ..., prompts.jsonl, config.toml; a clip is an animated PNG and a folder of its frames");
    v("overwrite", overwrite, "Replace the pictures that an earlier run left in the output folder");
    v("grid", grid, "Also write grid.png, all pictures on one sheet (of a clip its first frame)");
    v("fps", fps, "Frames a second that a clip is shown at (default: 8)", between(1, 240));
    v("precision", precision, "Type of the weights while drawing", one_of({"fp32", "bf16", "fp16"}));
    v("device", device, "auto, cpu, cuda or cuda:N");
  }
};

struct GenerateVerb {
  ModelOptions model;
  AdapterOptions adapters;
  PromptOptions what;
  GenerateOptions how;
};

std::vector<std::string> prompts_in(const std::string& path) {
  const std::string text = read_file(path);
  if (const auto bad = first_bad_utf8(text)) throw BadFile(path, "not UTF-8 text. Fix: save the file as UTF-8", *bad);
  std::vector<std::string> prompts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto prompt = trimmed(line);
    if (!prompt.empty()) prompts.emplace_back(prompt);
  }
  if (prompts.empty()) throw BadFile(path, "no prompts in this file (expected one a line)");
  return prompts;
}

std::vector<std::string> chosen_prompts(const PromptOptions& what) {
  if (what.prompts && !what.prompt.empty()) throw InvalidArgument("--prompt and --prompts: both given. Fix: use one of them");
  if (what.prompts) return prompts_in(*what.prompts);
  if (what.prompt.empty()) throw InvalidArgument("--prompt: missing. Fix: add --prompt TEXT, or --prompts FILE");
  for (const auto& prompt : what.prompt) {
    if (first_bad_utf8(prompt)) throw InvalidArgument("--prompt: not UTF-8 text");
  }
  return what.prompt;
}

// --scales as numbers; {1} when there are none. Throws InvalidArgument.
std::vector<double> chosen_scales(const PromptOptions& what, bool has_adapter, int64_t num_images) {
  if (what.scales.empty()) return {1.0};
  if (!has_adapter) throw InvalidArgument("--scales: has no effect without --adapter. Fix: add --adapter FILE, or leave --scales out");
  if (num_images > 1) throw InvalidArgument("--scales: takes one picture a prompt. Fix: leave --num-images out");
  std::vector<double> scales;
  for (const auto& text : what.scales) {
    const auto scale = finite_number(text);
    if (!scale) throw InvalidArgument(message("--scales: not a number (expected one such as 0.8, got ", escaped(text), ")"));
    scales.push_back(*scale);
  }
  return scales;
}

std::string shown(double number) {
  std::ostringstream out;
  out << number;
  return out.str();
}

// Rows of prompts with a column a scale or a seed; with one picture a prompt, rows of eight.
Image sheet_of(const std::vector<Image>& pictures, const std::vector<std::string>& prompts, const std::vector<double>& scales, const GenerateOptions& how) {
  std::vector<std::vector<Image>> rows;
  std::vector<std::string> row_labels, column_labels;
  const bool by_scale = scales.size() > 1, by_seed = how.num_images > 1;
  const size_t columns = by_scale ? scales.size() : by_seed ? static_cast<size_t>(how.num_images) : 8;
  for (size_t i = 0; i < pictures.size(); ++i) {
    const size_t row = i / columns, column = i % columns;
    if (column == 0) {
      rows.emplace_back();
      row_labels.push_back(by_scale || by_seed ? prompts[row] : std::to_string(i) + " - " + std::to_string(std::min(i + columns, pictures.size()) - 1));
    }
    // Scales are drawn one after the other, each with all prompts.
    rows.back().push_back(pictures[by_scale ? column * prompts.size() + row : i]);
  }
  for (const double scale : scales) {
    if (by_scale) column_labels.push_back(scale == 0 ? "base" : "scale " + shown(scale));
  }
  for (int64_t i = 0; by_seed && i < how.num_images; ++i) column_labels.push_back("seed " + std::to_string(how.seed + i));
  return contact_sheet(rows, row_labels, column_labels, pictures.front().width < 256 ? 2 : 1);
}

void run_generate(const GenerateVerb& verb, const Command& command) {
  const torch::NoGradGuard no_grad;
  const auto prompts = chosen_prompts(verb.what);
  if (verb.what.output.empty()) throw InvalidArgument("--output: missing. Fix: add --output FOLDER");
  const auto device = device_from_name(verb.what.device);
  const auto dtype = dtype_from_precision(verb.what.precision);
  const auto scales = chosen_scales(verb.what, !verb.adapters.adapter.empty(), verb.how.num_images);
  const auto adapters = load_adapters(verb.adapters);
  const ModelFolder model = open_model(verb.model);
  model.require_whole();
  const auto denoiser = [&](double scale) {
    auto scaled = adapters;
    for (auto& adapter : scaled) adapter.scale *= scale;
    return load_adapted_denoiser(model, scaled, verb.adapters.force, dtype, device);
  };
  auto parts = load_text_to_image(model, denoiser(scales[0]), dtype, verb.how.max_sequence_length);
  const bool clips = clip_frames(*parts.denoiser, verb.how.num_frames).has_value();
  if (verb.what.fps && !clips) throw InvalidArgument("--fps: has no effect on pictures. Fix: leave it out");
  check_drawing(parts, verb.how);

  PictureFolder folder(verb.what.output, verb.what.overwrite);
  write_file(folder.file("config.toml"), toml_text(command.resolved()));
  const auto with = prompt_conditions(parts.text, prompts);
  TextConditions without;
  if (parts.guidance(verb.how) > 1) without = negative_conditions(parts.text, verb.how.negative_prompt);
  std::vector<Image> pictures;
  std::string written;  // told at the end: a reader that goes away must not stop the drawing
  const auto a_scale = static_cast<int64_t>(prompts.size()) * verb.how.num_images;
  for (size_t k = 0; k < scales.size(); ++k) {
    if (k > 0) parts.denoiser = denoiser(scales[k]);
    const std::string what = scales.size() > 1 ? "drawing at scale " + shown(scales[k]) : "drawing";
    const auto write = [&](int64_t index, Clip frames) {
      const auto number = static_cast<int64_t>(k) * a_scale + index, seed = verb.how.seed + index % verb.how.num_images;
      const auto& prompt = prompts[static_cast<size_t>(index / verb.how.num_images)];
      written += (clips ? folder.add_clip(number, frames, verb.what.fps.value_or(kFramesPerSecond), prompt, seed, scales[k])
                        : folder.add(number, frames.front(), prompt, seed, scales[k])) + "\n";
      if (verb.what.grid) pictures.push_back(std::move(frames.front()));
    };
    const auto progress = [&](int64_t done, int64_t total) { log_progress(message(what, ": step ", done, " of ", total), done == total); };
    if (clips)
      draw_clips(parts, with, without, verb.how, write, progress);
    else
      draw_pictures(parts, with, without, verb.how, [&](int64_t index, Image picture) { write(index, {std::move(picture)}); }, progress);
  }
  folder.finish();
  if (verb.what.grid) {
    write_png(folder.file("grid.png"), sheet_of(pictures, prompts, scales, verb.how));
    written += folder.file("grid.png") + "\n";
  }
  print(written);
}

}  // namespace

Command generate_command() {
  auto verb = std::make_shared<GenerateVerb>();
  Command command("generate", "Draw pictures from prompts");
  command.example("sara generate --prompt \"a red apple\" --output pictures")
      .example("sara generate --adapter run/adapter.safetensors:0.8 --prompts prompts.txt --num-images 4 --grid --output pictures")
      .example("sara generate --adapter run/adapter.safetensors --scales 0 --scales 0.5 --scales 1 --prompts prompts.txt --grid --output pictures")
      .example("sara generate --model stable-diffusion-v1-5 --motion-adapter animatediff-v2 --prompt \"a boat on a river\" --output clips")
      .add(verb->model)
      .add(verb->adapters)
      .add(verb->what)
      .add(verb->how, "Drawing")
      .on_run([verb](const Command& self) { run_generate(*verb, self); });
  return command;
}

}  // namespace sara::cli
