// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sara/files/json.h"
#include "sara/models/clip_text.h"
#include "sara/models/mmdit.h"
#include "sara/models/t5.h"
#include "sara/models/unet.h"
#include "sara/models/vae.h"
#include "sara/weights/motion_modules.h"
#include "sara/weights/single_file.h"

namespace sara {

// A pipeline in diffusers' folder layout (model_index.json and one folder a component), or a single file read as one.
// Motion modules beside a UNet (AnimateDiff) are read as parts of the component "unet".
class ModelFolder {
 public:
  // Throws BadFile when `path` is no such folder or file or a component this build needs is absent or of another class;
  // InvalidArgument for a tokenizer given to a folder, which has its own.
  explicit ModelFolder(std::string path, ModelReading reading = {});

  const std::string& path() const { return path_; }
  std::string name() const;  // the folder's own name, the file's without its ending
  const Json& index() const { return index_; }
  // "sd1" (convolution projections), "sd2" (linear projections), "sdxl", "sd3" (3.5 too) or "animatediff".
  std::string family() const;
  // The component that is trained: "unet" or "transformer".
  std::string denoiser_name() const;
  std::vector<std::string> text_encoder_names() const;

  // Side in pixels the model was made for: the denoiser's sample_size times the autoencoder's factor.
  int64_t resolution() const;

  const ModelReading& reading() const { return reading_; }
  const SingleFile* single_file() const { return file_.get(); }  // nullptr: a folder
  const MotionModules* motion_modules() const { return motion_.get(); }  // nullptr: none, or the UNet's own files hold them
  bool has(const std::string& component) const;                  // whether it holds this component: an optional one may be absent
  WeightFiles weights(const std::string& component) const;
  std::string component_path(const std::string& name) const;     // for a single file a name for messages only
  Json component_config(const std::string& name) const;  // throws BadFile when it is absent or no object
  // XXH3-128 over names and bytes of a component's weights, the same in every layout: tells cached latents and embeddings of other weights apart.
  std::string component_hash(const std::string& name) const;

  std::vector<std::string> tokenizer_names() const;  // one for each text encoder it holds

  // Throws BadFile when a part or tokenizer that drawing and training need is absent, or parts do not fit each other; a denoiser alone is enough
  // to merge or extract.
  void require_whole() const;
  void require_fitting_parts() const;  // the latter alone

  void allow_nonfinite() { allow_nonfinite_ = true; }
  std::shared_ptr<UNet2DConditionModel> load_unet(c10::ScalarType dtype, c10::Device device = c10::kCPU) const;
  std::shared_ptr<Denoiser> load_denoiser(c10::ScalarType dtype, c10::Device device = c10::kCPU) const;
  std::shared_ptr<AutoencoderKL> load_vae(c10::ScalarType dtype, c10::Device device = c10::kCPU) const;
  std::shared_ptr<ClipTextModel> load_clip_text(const std::string& name, c10::ScalarType dtype, c10::Device device = c10::kCPU) const;
  std::shared_ptr<T5EncoderModel> load_t5(const std::string& name, c10::ScalarType dtype, c10::Device device = c10::kCPU) const;
  Json scheduler_config() const;
  // A component's config as its struct; what from_json refuses becomes BadFile naming config.json.
  template <class Config>
  Config read_config(const std::string& name) const;
  std::string tokenizer_path(const std::string& name = "tokenizer") const { return file_ ? file_->tokenizer_path(name) : component_path(name); }

 private:
  template <class Model, class Config>
  std::shared_ptr<Model> load(const std::string& name, const Config& config, c10::ScalarType dtype, c10::Device device) const;

  void add_motion_modules();
  Json own_config(const std::string& name) const;  // as the files say
  std::vector<std::string> present(const std::string& prefix) const;

  std::string path_;
  ModelReading reading_;
  std::shared_ptr<const SingleFile> file_;
  std::shared_ptr<const MotionModules> motion_;
  Json index_;
  bool allow_nonfinite_ = false;
};

}  // namespace sara
