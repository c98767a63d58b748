// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/single_file_layout.h"

#include <algorithm>
#include <set>

#include "sara/base/error.h"

namespace sara {
namespace {

bool starts_with(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

bool any_starts_with(const SafetensorsReader& file, const char* start) {
  return std::ranges::any_of(file.tensors(), [&](const TensorInfo& info) { return starts_with(info.name, start); });
}

// The size of one side of a tensor; -1 when the file has no such tensor or side.
int64_t side(const SafetensorsReader& file, const std::string& name, size_t dimension) {
  const auto* info = file.find(name);
  return info && dimension < info->shape.size() ? info->shape[dimension] : -1;
}

[[noreturn]] void refuse(const SafetensorsReader& file, const std::string& what) {
  throw BadFile(file.path(), message("is ", what, ", which is not supported. Fix: use a text-to-image model of Stable Diffusion 1.x, 2.x, XL or 3, or a motion module"));
}

const std::string kUNet = "model.diffusion_model.";

std::string family_of_unet(const SafetensorsReader& file) {
  const int64_t channels = side(file, kUNet + "input_blocks.0.0.weight", 1);
  if (channels == 9) refuse(file, "an inpainting model (9 input channels)");
  if (channels == 8) refuse(file, "an image-editing model (8 input channels)");
  if (any_starts_with(file, "conditioner.embedders.0.model.")) refuse(file, "an SDXL refiner");
  if (any_starts_with(file, "conditioner.embedders.1.model.") || file.find(kUNet + "label_emb.0.0.weight")) return "sdxl";
  if (any_starts_with(file, "cond_stage_model.model.")) return "sd2";
  if (any_starts_with(file, "cond_stage_model.transformer.")) return "sd1";
  for (const auto& info : file.tensors()) {  // a UNet alone: SD 2.x projects with matrices
    if (starts_with(info.name, kUNet.c_str()) && info.name.ends_with(".proj_in.weight")) return info.shape.size() == 2 ? "sd2" : "sd1";
  }
  return "sd1";
}

// "" when the file is no single file of a family known here.
std::string family_in(const SafetensorsReader& file) {
  if (file.find(kUNet + "input_blocks.0.0.weight")) return family_of_unet(file);
  if (any_starts_with(file, "model.diffusion_model.joint_blocks.0.") || any_starts_with(file, "joint_blocks.0.")) return "sd3";
  const std::string motion = "down_blocks.0.motion_modules.0.temporal_transformer.";
  if (any_starts_with(file, motion.c_str()) || any_starts_with(file, ("module." + motion).c_str())) {
    if (side(file, motion + "norm.weight", 0) == 320 && !any_starts_with(file, "down_blocks.3.")) refuse(file, "a motion module of SDXL");
    return "animatediff";
  }
  return "";
}

}  // namespace

const SingleFilePart* SingleFileLayout::part(const std::string& component) const {
  for (const auto& part : parts) {
    if (component == part.component) return &part;
  }
  return nullptr;
}

const std::vector<SingleFileLayout>& single_file_layouts() {
  static const std::vector<SingleFileLayout> layouts{
      {"sd1",
       "StableDiffusionPipeline",
       "stable-diffusion-v1",
       {{"unet", "diffusers", "UNet2DConditionModel", "model.diffusion_model.", unet_keys()},
        {"vae", "diffusers", "AutoencoderKL", "first_stage_model.", vae_keys()},
        {"text_encoder", "transformers", "CLIPTextModel", "cond_stage_model.transformer.", same_keys()}}},
      {"sd2",
       "StableDiffusionPipeline",
       "stable-diffusion-v2-512",
       {{"unet", "diffusers", "UNet2DConditionModel", "model.diffusion_model.", unet_keys()},
        {"vae", "diffusers", "AutoencoderKL", "first_stage_model.", vae_keys()},
        {"text_encoder", "transformers", "CLIPTextModel", "cond_stage_model.model.", open_clip_keys()}}},
      {"sdxl",
       "StableDiffusionXLPipeline",
       "stable-diffusion-xl-v1-base",
       {{"unet", "diffusers", "UNet2DConditionModel", "model.diffusion_model.", unet_keys()},
        {"vae", "diffusers", "AutoencoderKL", "first_stage_model.", vae_keys()},
        {"text_encoder", "transformers", "CLIPTextModel", "conditioner.embedders.0.transformer.", same_keys()},
        {"text_encoder_2", "transformers", "CLIPTextModelWithProjection", "conditioner.embedders.1.model.", open_clip_keys()}}},
      {"sd3",
       "StableDiffusion3Pipeline",
       "stable-diffusion-3-medium",
       {{"transformer", "diffusers", "SD3Transformer2DModel", "model.diffusion_model.", mmdit_keys()},
        {"vae", "diffusers", "AutoencoderKL", "first_stage_model.", vae_keys()},
        {"text_encoder", "transformers", "CLIPTextModelWithProjection", "text_encoders.clip_l.transformer.", same_keys()},
        {"text_encoder_2", "transformers", "CLIPTextModelWithProjection", "text_encoders.clip_g.transformer.", same_keys()},
        {"text_encoder_3", "transformers", "T5EncoderModel", "text_encoders.t5xxl.transformer.", same_keys()}}},
      {"animatediff", nullptr, "animatediff", {{"motion_adapter", "diffusers", "MotionAdapter", "", motion_keys()}}},
  };
  return layouts;
}

const SingleFileLayout& single_file_layout(const std::string& family) {
  for (const auto& layout : single_file_layouts()) {
    if (family == layout.family) return layout;
  }
  throw InvalidArgument(message("family ", escaped(family), " has no single-file layout"));
}

bool is_single_file(const SafetensorsReader& file) { return !family_in(file).empty(); }

const SingleFileLayout& detected_layout(const SafetensorsReader& file) {
  const std::string family = family_in(file);
  if (!family.empty()) return single_file_layout(family);
  std::vector<std::string> names;
  for (const auto& info : file.tensors()) names.push_back(escaped(info.name));
  std::ranges::sort(names);
  throw BadFile(file.path(), message("is no single-file model of a known family (Stable Diffusion 1.x, 2.x, XL, 3, AnimateDiff); it holds ", first_five(names),
                                     ". Fix: give a model folder or another file"));
}

const char* prefix_in(const SafetensorsReader& file, const SingleFilePart& part) {
  if (*part.prefix && any_starts_with(file, part.prefix)) return part.prefix;
  const std::string component = part.component;
  if (component == "vae" && any_starts_with(file, "vae.")) return "vae.";
  if (component == "transformer" && any_starts_with(file, "joint_blocks.")) return "";
  if (component == "motion_adapter") return any_starts_with(file, "module.") ? "module." : "";
  return nullptr;
}

bool is_ignored(const std::string& name) {
  static const std::set<std::string> kTables = {
      "alphas_cumprod",          "alphas_cumprod_prev",   "betas",          "log_one_minus_alphas_cumprod", "posterior_log_variance_clipped", "posterior_mean_coef1",
      "posterior_mean_coef2",    "posterior_variance",    "global_step",    "lvlb_weights",                 "logvar",                         "sqrt_alphas_cumprod",
      "sqrt_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod", "model_ema.decay", "model_ema.num_updates"};
  return kTables.count(name) || starts_with(name, "model_ema.") || starts_with(name, "denoiser.") || starts_with(name, "loss.") ||
         name.ends_with("position_ids") || name.ends_with("logit_scale");
}

}  // namespace sara
