// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <map>
#include <set>
#include <sstream>

#include "cli/config_file.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "sara/base/device.h"
#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/metrics/blip_folder.h"
#include "sara/metrics/clip_score.h"
#include "sara/metrics/features.h"
#include "sara/metrics/frechet.h"
#include "sara/metrics/vlhi.h"
#include "sara/metrics/vqa.h"

namespace sara::cli {
namespace {

struct EvaluateOptions {
  std::string images, features = "inception", device = "auto";
  std::optional<std::string> reference, captions, questions, weights, model;
  int64_t batch_size = 16;
  bool json = false;

  template <class V>
  void visit(V&& v) {
    v("images", images, "fid, clip, bvqa: folder of the pictures to score; what sara generate wrote is taken with its prompts");
    v("reference", reference, "fid: folder of the pictures to compare with; clip: those of the subject, for CLIP-I");
    v("captions", captions, "clip, bvqa: JSON lines with file_name and text (default: prompts.jsonl, or captions as training reads them)");
    v("questions", questions, "bvqa: JSON lines with questions, and file_name or text (default: prompts.jsonl or metadata.jsonl in the folder)");
    v("features", features, "fid: the network whose features are compared", one_of({"inception", "clip"}));
    v("weights", weights, "fid: safetensors file with the weights of FID's Inception v3 (docs/evaluation.md)");
    v("model", model, "clip, and fid with --features clip: folder of a CLIP model, such as openai/clip-vit-large-patch14; bvqa: of a BLIP model, Salesforce/blip-vqa-base");
    v("batch_size", batch_size, "fid, clip, bvqa: pictures at a time", between(1, 4096));
    v("device", device, "fid, clip, bvqa: auto, cpu, cuda or cuda:N");
    v("json", json, "Print one JSON object");
  }
};

struct EvaluateVerb {
  std::string what, file;
  EvaluateOptions options;
};

// Throws InvalidArgument for a flag that this subject does not look at.
void refuse_idle_flags(const Command& command, const std::string& subject, const std::set<std::string>& used) {
  std::vector<std::string> problems;
  for (const auto& field : command.fields()) {
    const bool typed = field.origin != "default" && field.origin.rfind("SARA_", 0) != 0;
    if (field.group != "Every verb" && typed && !used.count(field.name))
      problems.push_back(message(field.flag(), ": has no effect on sara evaluate ", subject, ". Fix: leave it out"));
  }
  refuse(problems);
}

const std::string& required(const std::optional<std::string>& value, const char* flag, const char* what) {
  if (!value || value->empty()) throw InvalidArgument(message(flag, ": missing. Fix: add ", flag, " ", what));
  return *value;
}

ImageSet images_of(const EvaluateOptions& options) {
  if (options.images.empty()) throw InvalidArgument("--images: missing. Fix: add --images FOLDER");
  return read_image_set(options.images, options.captions);
}

Json frechet_scores(const EvaluateVerb& verb, const Command& command) {
  const auto& options = verb.options;
  const bool by_clip = options.features == "clip";
  refuse_idle_flags(command, by_clip ? "fid --features clip" : "fid", {"images", "reference", "features", by_clip ? "model" : "weights", "batch_size", "device", "json"});
  const auto images = images_of(options), reference = read_image_set(required(options.reference, "--reference", "FOLDER"));
  for (const auto* set : {&images, &reference})
    if (set->count() < 2) throw BadFile(set->folder, "a distance of distributions needs two pictures or more");
  const auto device = device_from_name(options.device);
  const auto network = by_clip ? clip_features(std::make_shared<ClipFolder>(required(options.model, "--model", "FOLDER of a CLIP model"), device))
                               : inception_features(required(options.weights, "--weights", "FILE.safetensors (docs/evaluation.md says how to make it)"), device);
  const auto a = features_of(images, network, options.batch_size), b = features_of(reference, network, options.batch_size);
  if (const auto fewest = std::min(images.count(), reference.count()); fewest <= kFewPictures)
    log_warning(message("N = ", images.count(), " and ", reference.count(), ": with ", kFewPictures,
                        " pictures or fewer the distance is biased upwards. Fix: use more, or compare only with values of the same N"));
  return {{by_clip ? "fd_clip" : "fid", frechet_distance(a, b)}, {"features", network.name}, {"dimensions", a.size(1)},
          {"resize", network.resize}, {"images", images.summary()}, {"reference", reference.summary()}};
}

Json clip_scores(const EvaluateVerb& verb, const Command& command) {
  const auto& options = verb.options;
  refuse_idle_flags(command, "clip", {"images", "reference", "captions", "model", "batch_size", "device", "json"});
  const auto images = images_of(options);
  if (images.captions.empty() && !options.reference)
    throw InvalidArgument(message(escaped(options.images), ": the pictures have no captions. Fix: add --captions FILE, or --reference FOLDER for CLIP-I alone"));
  std::optional<ImageSet> reference;
  if (options.reference) reference = read_image_set(*options.reference);
  const auto clip = std::make_shared<ClipFolder>(required(options.model, "--model", "FOLDER of a CLIP model"), device_from_name(options.device));
  const auto network = clip_features(clip);
  Json out = Json::object();
  torch::Tensor texts;
  if (!images.captions.empty()) {
    std::vector<torch::Tensor> parts;
    for (size_t first = 0; first < images.captions.size(); first += static_cast<size_t>(options.batch_size)) {
      const auto end = std::min(first + static_cast<size_t>(options.batch_size), images.captions.size());
      parts.push_back(clip->text_embeddings({images.captions.begin() + int64_t(first), images.captions.begin() + int64_t(end)}));
    }
    texts = at::cat(parts);
  }
  const auto pictures = features_of(images, network, options.batch_size);
  if (texts.defined()) {
    out["clip_t"] = clip_t(pictures, texts);
    out["clip_t_is"] = "100 x mean cosine of a picture and its caption";
  }
  if (reference) {
    out["clip_i"] = clip_i(pictures, features_of(*reference, network, options.batch_size));
    out["clip_i_is"] = "mean cosine over all pairs of a picture and a reference";
  }
  out.update({{"features", network.name}, {"dimensions", pictures.size(1)}, {"resize", network.resize}, {"images", images.summary()}});
  if (reference) out["reference"] = reference->summary();
  return out;
}

Json vqa_scores(const EvaluateVerb& verb, const Command& command) {
  const auto& options = verb.options;
  refuse_idle_flags(command, "bvqa", {"images", "captions", "questions", "model", "batch_size", "device", "json"});
  const auto images = images_of(options);
  const auto questions = read_questions(images, options.questions);
  const BlipFolder blip(required(options.model, "--model", "FOLDER of a BLIP model"), device_from_name(options.device));
  std::vector<std::vector<double>> yes;
  size_t asked = 0;
  for (const auto& of_one : questions) asked += of_one.size();
  for (size_t first = 0; first < images.paths.size(); first += static_cast<size_t>(options.batch_size)) {
    const auto end = std::min(first + static_cast<size_t>(options.batch_size), images.paths.size());
    std::vector<Image> batch;
    for (size_t i = first; i < end; ++i) batch.push_back(read_image(images.paths[i]));
    for (auto& answers : blip.yes(batch, {questions.begin() + int64_t(first), questions.begin() + int64_t(end)})) yes.push_back(std::move(answers));
    log_progress(message(escaped(images.folder), ": picture ", end, " of ", images.count()), end == images.paths.size());
  }
  return {{"b_vqa", b_vqa(yes)}, {"b_vqa_is", "mean over pictures of the product of yes / (yes + no) over the picture's questions"}, {"questions", asked},
          {"network", "BLIP of " + escaped(std::filesystem::path(blip.path()).filename().string())}, {"resize", blip.pixels().description()}, {"images", images.summary()}};
}

// A TOML file as one object; JSON when the name says so.
Json settings_in(const std::string& path) {
  if (path.ends_with(".json")) return read_json(path);
  Json out = Json::object();
  for (const auto& entry : read_config(path)) out[entry.key] = entry.value;
  return out;
}

Json vlhi_scores(const EvaluateVerb& verb, const Command& command) {
  refuse_idle_flags(command, "vlhi", {"json"});
  if (verb.file.empty()) throw InvalidArgument("FILE: missing. Fix: sara evaluate vlhi FILE.toml, with group and methods as docs/evaluation.md shows");
  const auto group = vlhi_group(settings_in(verb.file), verb.file);
  const auto result = vlhi(group);
  Json ranges = Json::object(), methods = Json::array();
  for (size_t i = 0; i < 2; ++i) {
    const auto& range = result.ranges[i];
    ranges[group.kinds[i]->name] = {{"min", range.lowest}, {"min_method", range.lowest_method}, {"max", range.highest},
                                    {"max_method", range.highest_method}, {"better", group.kinds[i]->lower_is_better ? "low" : "high"}};
  }
  for (size_t k = 0; k < group.methods.size(); ++k) {
    const auto& method = group.methods[k];
    methods.push_back({{"name", method.name}, {group.kinds[0]->name, method.scores[0]}, {group.kinds[1]->name, method.scores[1]}, {"vlhi", result.values[k]}});
  }
  return {{"group", group.name}, {"n", group.methods.size()}, {"ranges", ranges}, {"methods", methods}};
}

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

// {"PNG": 3, "JPEG": 1} -> "PNG 3, JPEG 1"
std::string counts_text(const Json& counts) {
  std::string out;
  for (const auto& [name, count] : counts.items()) out += (out.empty() ? "" : ", ") + name + " " + count.dump();
  return out;
}

std::string scores_text(const Json& scores) {
  std::string out;
  for (const auto& [key, value] : scores.items()) {
    if (key == "images" || key == "reference") {
      out += key + ": N = " + value["n"].dump() + " in " + escaped(value["folder"].get<std::string>()) + " (" + counts_text(value["formats"]) + "; " + counts_text(value["sizes"]) + ")\n";
    } else if (value.is_number_float()) {
      out += key + ": " + fixed(value.get<double>(), 4) + (scores.contains(key + "_is") ? " (" + scores[key + "_is"].get<std::string>() + ")" : "") + "\n";
    } else if (!key.ends_with("_is")) {
      out += key + ": " + (value.is_string() ? escaped(value.get<std::string>()) : value.dump()) + "\n";
    }
  }
  return out;
}

std::string vlhi_text(const Json& scores) {
  std::string out = "group: " + escaped(scores["group"].get<std::string>()) + " (" + scores["n"].dump() + " methods)\n";
  std::vector<std::string> kinds;
  for (const auto& [name, range] : scores["ranges"].items()) {
    kinds.push_back(name);
    const auto end = [&](const std::string& which) { return which + " " + range[which].dump() + " (" + escaped(range[which + "_method"].get<std::string>()) + ")"; };
    out += name + ": " + end("min") + ", " + end("max") + ", better when " + range["better"].get<std::string>() + "\n";
  }
  out += "\nvlhi\t" + kinds[0] + "\t" + kinds[1] + "\tmethod\n";
  for (const auto& method : scores["methods"])
    out += fixed(method["vlhi"].get<double>(), 2) + "\t" + method[kinds[0]].dump() + "\t" + method[kinds[1]].dump() + "\t" + escaped(method["name"].get<std::string>()) + "\n";
  return out;
}

struct EvaluateSubject {
  Json (*scores)(const EvaluateVerb&, const Command&);
  std::string (*text)(const Json&);
};

void run_evaluate(const EvaluateVerb& verb, const Command& command) {
  static const std::map<std::string, EvaluateSubject> kSubjects{
      {"fid", {frechet_scores, scores_text}}, {"clip", {clip_scores, scores_text}}, {"bvqa", {vqa_scores, scores_text}}, {"vlhi", {vlhi_scores, vlhi_text}}};
  const auto subject = kSubjects.find(verb.what);
  if (subject == kSubjects.end()) throw InvalidArgument(message("WHAT: unknown score (expected fid, clip, bvqa or vlhi, got ", escaped(verb.what), ")"));
  if (verb.what != "vlhi" && !verb.file.empty())
    throw InvalidArgument(message("FILE: has no effect on sara evaluate ", verb.what, " (got ", escaped(verb.file), "). Fix: give folders by --images and --reference"));
  const Json scores = subject->second.scores(verb, command);
  print(verb.options.json ? scores.dump() + "\n" : subject->second.text(scores));
}

}  // namespace

Command evaluate_command() {
  auto verb = std::make_shared<EvaluateVerb>();
  Command command("evaluate", "Score pictures: FID, CLIP-T, CLIP-I, B-VQA; and VLHI over a group of methods");
  command.example("sara evaluate fid --images pictures --reference style --weights inception.safetensors")
      .example("sara evaluate clip --images pictures --model clip-vit-large-patch14")
      .example("sara evaluate bvqa --images pictures --questions questions.jsonl --model blip-vqa-base")
      .example("sara evaluate vlhi group.toml")
      .positional("WHAT", verb->what, "fid, clip, bvqa or vlhi")
      .positional("FILE", verb->file, "vlhi: TOML or JSON file with the group's methods and their scores", false)
      .add(verb->options)
      .on_run([verb](const Command& self) { run_evaluate(*verb, self); });
  return command;
}

}  // namespace sara::cli
