// SPDX-License-Identifier: Apache-2.0
#include "cli/aliases.h"

#include <algorithm>

namespace sara::cli {
namespace {

struct Alias {
  const char* name;
  std::vector<std::string> targets;
  const char* fixed = nullptr;  // a switch of theirs that is a value of ours
  const char* only = nullptr;   // a value of theirs that is a switch of ours
};

const std::vector<Alias> kAliases = {
    {"pretrained_model_name_or_path", {"model"}},
    {"train_data_dir", {"data"}},
    {"output_dir", {"output"}},
    {"max_train_steps", {"steps"}},
    {"train_batch_size", {"batch_size"}},
    {"learning_rate", {"lr"}},
    {"mixed_precision", {"precision"}},
    {"adam_weight_decay", {"weight_decay"}},
    {"adam_epsilon", {"eps"}},
    {"caption_dropout_rate", {"caption_dropout"}},
    {"proportion_empty_prompts", {"caption_dropout"}},
    {"min_snr_gamma", {"snr_gamma"}},
    {"flip_aug", {"random_flip"}},
    {"image_interpolation_mode", {"resize_filter"}},
    {"center_crop", {"crop"}, "center"},
    {"random_crop", {"crop"}, "random"},
    {"validation_prompts", {"sample_prompt"}},
    {"validation_prompt", {"sample_prompt"}},
    {"validation_steps", {"sample_every"}},
    {"sample_every_n_steps", {"sample_every"}},
    {"instance_data_dir", {"data"}},
    {"instance_prompt", {"caption"}},
    {"class_data_dir", {"class_data"}},
    {"with_prior_preservation", {"prior_preservation"}},
    {"num_inference_steps", {"steps"}},
    {"guidance_scale", {"guidance"}},
    {"checkpointing_steps", {"checkpoint_every"}},
    {"save_every_n_steps", {"checkpoint_every"}},
    {"checkpoints_total_limit", {"checkpoints_limit"}},
    {"resume_from_checkpoint", {"resume"}, nullptr, "latest"},
    {"use_ema", {"ema_decay"}, "0.9999"},
    {"use_8bit_adam", {"moments"}, "8bit"},
    {"num_images_per_prompt", {"num_images"}},
};

struct Unsupported {
  const char* name;
  const char* reason;
};

const char* const kLater = "this version does not have it. Fix: leave the flag out";
const char* const kNoDownload = "nothing is downloaded here. Fix: fetch the files first and give their folder";
const char* const kNoUpload = "nothing is uploaded here. Fix: leave the flag out and upload the output folder yourself";

const std::vector<Unsupported> kUnsupported = {
    {"optimizer", "the optimizer is AdamW. Fix: leave the flag out"},
    {"enable_xformers_memory_efficient_attention", "attention is memory-efficient without it. Fix: leave the flag out"},
    {"set_grads_to_none", "gradients are always freed at once. Fix: leave the flag out"},
    {"push_to_hub", kNoUpload},
    {"hub_token", kNoUpload},
    {"hub_model_id", kNoUpload},
    {"dataset_name", kNoDownload},
    {"dataset_config_name", kNoDownload},
    {"revision", kNoDownload},
    {"non_ema_revision", kNoDownload},
    {"cache_dir", kNoDownload},
    {"num_train_epochs", "the length of a run is counted in optimizer steps. Fix: use --steps"},
    {"scale_lr", "the learning rate is taken as given. Fix: use --learning-rate with the scaled number"},
    {"local_rank", "training in several processes is not in this version. Fix: leave the flag out"},
    {"allow_tf32", kLater},
    {"gradient_checkpointing", kLater},
    {"lr_num_cycles", "it belongs to curves with restarts, which are not in this version. Fix: leave the flag out"},
    {"lr_power", "it belongs to the polynomial curve, which is not in this version. Fix: leave the flag out"},
    {"offload_ema", kLater},
    {"foreach_ema", kLater},
    {"offset_noise", "it is a switch for one strength. Fix: use --noise-offset 0.1"},
    {"input_perturbation", kLater},
    {"dream_training", kLater},
    {"dream_detail_preservation", kLater},
    {"variant", "weights are found in the model's folder by name. Fix: leave the flag out"},
    {"max_train_samples", kLater},
    {"dataloader_num_workers", "images are read once and cached as latents. Fix: leave the flag out"},
    {"logging_dir", "logs go to the output folder. Fix: leave the flag out"},
    {"report_to", "metrics go to metrics.jsonl in the output folder. Fix: leave the flag out"},
    {"tracker_project_name", kLater},
    {"validation_epochs", "samples are drawn by steps. Fix: use --sample-every"},
    {"rank", "a rank belongs to LoRA. Fix: use --budget or --threshold"},
    {"network_dim", "a rank belongs to LoRA. Fix: use --budget or --threshold"},
    {"network_alpha", "an alpha belongs to LoRA. Fix: leave the flag out"},
    {"lora_dropout", "it belongs to LoRA. Fix: leave the flag out"},
    {"use_dora", "it belongs to LoRA. Fix: leave the flag out"},
    {"num_validation_images", "one sample a prompt is drawn. Fix: leave the flag out"},
    {"sample_batch_size", "class pictures are drawn four at a time. Fix: leave the flag out"},
    {"prior_generation_precision", "class pictures are drawn in the precision of the run. Fix: leave the flag out"},
    {"pre_compute_text_embeddings", "text embeddings are always cached. Fix: leave the flag out"},
    {"train_text_encoder", kLater},
    {"enable_bucket", kLater},
    {"reg_data_dir", "its folders are not read. Fix: use --prior-preservation with --class-data FOLDER and --class-prompt TEXT"},
    {"dataset_config", kLater},
    {"shuffle_caption", kLater},
    {"keep_tokens", kLater},
    {"clip_skip", kLater},
    {"zero_terminal_snr", "the model's scheduler_config.json says it (rescale_betas_zero_snr). Fix: leave the flag out"},
    {"cache_latents", "latents are always cached. Fix: leave the flag out"},
    {"cache_latents_to_disk", "latents are always cached on disk. Fix: leave the flag out"},
    {"cache_text_encoder_outputs", "text embeddings are always cached. Fix: leave the flag out"},
    {"guidance_rescale", kLater},
    {"num_frames", "video is not in this version. Fix: leave the flag out"},
};

}  // namespace

std::vector<std::string> alias_targets(const std::string& name) {
  for (const auto& alias : kAliases) {
    if (name == alias.name) return alias.targets;
  }
  return {};
}

std::string alias_value(const std::string& name, const std::string& value) {
  return name == "mixed_precision" && value == "no" ? "fp32" : value;
}

std::optional<std::string> alias_fixed_value(const std::string& name) {
  for (const auto& alias : kAliases) {
    if (name == alias.name && alias.fixed) return alias.fixed;
  }
  return std::nullopt;
}

std::optional<std::string> alias_only_value(const std::string& name) {
  for (const auto& alias : kAliases) {
    if (name == alias.name && alias.only) return alias.only;
  }
  return std::nullopt;
}

std::optional<std::string> unsupported_reason(const std::string& name) {
  for (const auto& flag : kUnsupported) {
    if (name == flag.name) return flag.reason;
  }
  return std::nullopt;
}

std::vector<std::string> aliases_of(const std::string& field) {
  std::vector<std::string> out;
  for (const auto& alias : kAliases) {
    if (std::find(alias.targets.begin(), alias.targets.end(), field) != alias.targets.end()) out.push_back(alias.name);
  }
  return out;
}

}  // namespace sara::cli
