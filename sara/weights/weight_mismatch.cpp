// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/weight_mismatch.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <set>

#include "sara/base/error.h"
#include "sara/base/options.h"
#include "sara/models/blip.h"
#include "sara/models/clip.h"
#include "sara/models/mmdit.h"
#include "sara/models/motion_adapter.h"
#include "sara/models/t5.h"
#include "sara/models/unet.h"
#include "sara/models/vae.h"
#include "sara/weights/precision.h"

namespace sara {
namespace {

// Equal shapes, or a linear weight stored as a 1x1 convolution.
bool fits(const std::vector<int64_t>& stored, at::IntArrayRef wanted) {
  if (at::IntArrayRef(stored) == wanted) return true;
  return stored.size() == 4 && wanted.size() == 2 && stored[0] == wanted[0] && stored[1] == wanted[1] && stored[2] == 1 && stored[3] == 1;
}

template <class Network, class Config>
std::shared_ptr<torch::nn::Module> without_memory(const Json& config) {
  return std::make_shared<Network>(Config::from_json(config), torch::TensorOptions().device(torch::kMeta));
}

}  // namespace

std::string parameter_of(const std::string& stored, const torch::OrderedDict<std::string, torch::Tensor>& parameters,
                         const std::set<std::string>& in_files) {
  if (parameters.contains(stored)) return stored;
  if (stored.ends_with("position_ids")) return "";
  // T5 stores its embedding under one of two names, or twice.
  const std::string shared = "shared.weight";
  if (stored == "encoder.embed_tokens.weight" && parameters.contains(shared)) return in_files.count(shared) ? "" : shared;
  // BLIP's answers are weighed by its word embeddings, of which older files hold a copy.
  static const std::pair<std::string, std::string> kTied[] = {{"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"},
                                                              {"cls.predictions.decoder.bias", "cls.predictions.bias"}};
  for (const auto& [copy, original] : kTied) {
    if (!stored.ends_with(copy)) continue;
    const auto name = stored.substr(0, stored.size() - copy.size()) + original;
    if (parameters.contains(name)) return in_files.count(name) ? "" : name;
  }
  const std::string prefix = "text_model.";
  if (parameters.contains(prefix + stored)) return prefix + stored;
  if (stored.rfind(prefix, 0) == 0 && parameters.contains(stored.substr(prefix.size()))) return stored.substr(prefix.size());
  static const std::pair<const char*, const char*> kEarlyVae[] = {
      {".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}};
  for (const auto& [early, current] : kEarlyVae) {
    const auto place = stored.find(early);
    if (place == std::string::npos) continue;
    const auto name = stored.substr(0, place) + current + stored.substr(place + std::string(early).size());
    if (parameters.contains(name)) return name;
  }
  return stored;
}

torch::OrderedDict<std::string, torch::Tensor> stored_tensors(const torch::nn::Module& module) {
  auto tensors = module.named_parameters();
  for (const auto& item : module.named_buffers()) tensors.insert(item.key(), item.value());
  return tensors;
}

std::set<std::string> names_of(const WeightFiles& files) {
  std::set<std::string> names;
  for (const auto& entry : files.entries()) names.insert(entry.info->name);
  return names;
}

WeightMismatch weight_mismatch(const torch::nn::Module& module, const WeightFiles& files) {
  const auto parameters = stored_tensors(module);
  const auto in_files = names_of(files);
  WeightMismatch out;
  std::set<std::string> seen;
  for (const auto& [reader, info, change] : files.entries()) {
    const auto name = parameter_of(info->name, parameters, in_files);
    if (name.empty()) continue;
    const auto* parameter = parameters.find(name);
    if (!parameter) {
      out.unknown.push_back(escaped(info->name));
      continue;
    }
    if (!seen.insert(name).second) throw BadFile(reader->path(), message("tensor ", name, " appears twice"));
    const auto dtype = torch_dtype(info->dtype);
    if (!fits(info->shape, parameter->sizes())) {
      out.misshapen.push_back(message(info->name, " (expected ", parameter->sizes(), ", got ", at::IntArrayRef(info->shape), ")"));
    } else if (!dtype || !c10::isFloatingType(*dtype)) {
      out.mistyped.push_back(message(info->name, " (expected a floating-point type, got ", sara::name(info->dtype), ")"));
    }
  }
  std::vector<std::string> known;
  for (const auto& item : parameters) {
    known.push_back(item.key());
    const bool computed = item.key().ends_with(".pos_embed.pe");  // a motion module's table: files that lack it mean the one it is made with
    if (!seen.count(item.key()) && !computed) out.missing.push_back(item.key());
  }
  std::ranges::sort(out.missing);
  for (size_t i = 0; i < std::min<size_t>(out.unknown.size(), 5); ++i) {  // as many as are shown
    if (const auto near = nearest_name(out.unknown[i], known)) out.unknown[i] += message(" (nearest: ", *near, ")");
  }
  return out;
}

std::string WeightMismatch::text() const {
  std::string text;
  const auto add = [&](const char* what, const std::vector<std::string>& names) {
    if (!names.empty()) text += message(text.empty() ? "" : "; ", names.size(), " ", what, ": ", first_five(names));
  };
  add("missing", missing);
  add("unknown", unknown);
  add("wrongly shaped", misshapen);
  add("wrongly typed", mistyped);
  return text;
}

std::shared_ptr<torch::nn::Module> empty_network(const std::string& class_name, const Json& config) {
  if (class_name == "UNet2DConditionModel" || class_name == "UNetMotionModel") return without_memory<UNet2DConditionModel, UNetConfig>(config);
  if (class_name == "SD3Transformer2DModel") return without_memory<SD3Transformer2DModel, MmditConfig>(config);
  if (class_name == "MotionAdapter") return without_memory<MotionAdapter, MotionAdapterConfig>(config);
  if (class_name == "T5EncoderModel") return without_memory<T5EncoderModel, T5Config>(config);
  if (class_name == "AutoencoderKL") return without_memory<AutoencoderKL, VaeConfig>(config);
  if (class_name == "CLIPTextModel" || class_name == "CLIPTextModelWithProjection") {
    Json with_class = config;  // config.json may not name its class
    with_class["architectures"] = {class_name};
    return without_memory<ClipTextModel, ClipTextConfig>(with_class);
  }
  if (class_name == "CLIPVisionModelWithProjection") return without_memory<ClipVisionModel, ClipVisionConfig>(config);
  if (class_name == "BlipForQuestionAnswering") return without_memory<BlipForQuestionAnswering, BlipConfig>(config);
  if (class_name == "CLIPModel") return without_memory<ClipModel, ClipConfig>(config);
  return nullptr;
}

}  // namespace sara
