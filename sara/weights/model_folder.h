// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sara/files/json.h"
#include "sara/models/clip_text.h"
#include "sara/models/unet.h"
#include "sara/models/vae.h"

namespace sara {

// A pipeline in diffusers' folder layout: model_index.json and one folder a component.
class ModelFolder {
 public:
  // Throws BadFile when `path` is no such folder or a component this build needs is absent or of another class.
  explicit ModelFolder(std::string path);

  const std::string& path() const { return path_; }
  std::string name() const;  // the folder's own name
  const Json& index() const { return index_; }
  // "sd1" (convolution projections), "sd2" (linear projections) or "sdxl".
  std::string family() const;
  // The component that is trained: "unet".
  std::string denoiser_name() const;
  std::vector<std::string> text_encoder_names() const;

  // Side in pixels the model was made for: the denoiser's sample_size times the autoencoder's factor.
  int64_t resolution() const;

  std::string component_path(const std::string& name) const;
  Json component_config(const std::string& name) const;  // throws BadFile when it is absent or no object
  // XXH3-128 over names and bytes of a component's weights: tells cached latents and embeddings of other weights apart.
  std::string component_hash(const std::string& name) const;

  void allow_nonfinite() { allow_nonfinite_ = true; }
  std::shared_ptr<UNet2DConditionModel> load_unet(c10::ScalarType dtype, c10::Device device = c10::kCPU) const;
  std::shared_ptr<Denoiser> load_denoiser(c10::ScalarType dtype, c10::Device device = c10::kCPU) const;
  std::shared_ptr<AutoencoderKL> load_vae(c10::ScalarType dtype, c10::Device device = c10::kCPU) const;
  std::shared_ptr<ClipTextModel> load_clip_text(const std::string& name, c10::ScalarType dtype, c10::Device device = c10::kCPU) const;
  Json scheduler_config() const;
  // A component's config as its struct; what from_json refuses becomes BadFile naming config.json.
  template <class Config>
  Config read_config(const std::string& name) const;

 private:
  template <class Model, class Config>
  std::shared_ptr<Model> load(const std::string& name, const Config& config, c10::ScalarType dtype, c10::Device device) const;

  std::string path_;
  Json index_;
  bool allow_nonfinite_ = false;
};

}  // namespace sara
