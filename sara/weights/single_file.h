// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sara/files/json.h"
#include "sara/weights/shards.h"
#include "sara/weights/single_file_layout.h"

namespace sara {

// What a model's files may leave open.
struct ModelReading {
  std::optional<std::string> tokenizer;        // a tokenizer's folder, or a model folder that holds one, for single files that hold none
  std::optional<std::string> prediction_type;  // "epsilon" or "v_prediction"; wins over what the model says
  std::optional<std::string> motion_adapter;   // motion modules that make a Stable Diffusion 1.x model an AnimateDiff one
};

// A whole pipeline in one .safetensors file, under the names of the original training code ("LDM" layout): SD 1.x, 2.x, XL, 3, or the
// motion modules of AnimateDiff. Configs come from the file's metadata (`sara convert` writes them) or are read off the shapes.
class SingleFile {
 public:
  // Opens and detects. Throws BadFile, IoError.
  explicit SingleFile(const std::string& path, ModelReading reading = {});
  ~SingleFile();
  SingleFile(const SingleFile&) = delete;
  SingleFile& operator=(const SingleFile&) = delete;

  const std::string& path() const { return file_->path(); }
  const SafetensorsReader& file() const { return *file_; }
  const SingleFileLayout& layout() const { return layout_; }

  bool has(const std::string& component) const;            // whether it holds weights of this component
  Json index() const;                                      // model_index.json
  Json config(const std::string& component) const;         // config.json; BadFile when the file holds no such component
  // By diffusers' names. Tensors that no row of the key map knows keep the file's name, so that loading refuses them.
  WeightFiles weights(const std::string& component) const;
  // The same with what each tensor of the file holds, for writing.
  std::vector<WeightFiles::Piece> pieces(const std::string& component) const;
  // BadFile when an SD 2.x file does not say its prediction type and nobody did.
  Json scheduler_config() const;
  // "epsilon", "v_prediction", or nothing when an SD 2.x file does not say.
  std::optional<std::string> prediction_type() const;

  // The folder of a tokenizer ("tokenizer", "tokenizer_2", ...): the one given, or that of the metadata, unpacked for as long as this object lives.
  // BadFile saying what to give when there is none.
  std::string tokenizer_path(const std::string& component = "tokenizer") const;
  bool has_tokenizer(const std::string& component = "tokenizer") const;

  // Files of the folder form beside the weights, by relative path ("unet/config.json"), as the metadata keeps them.
  const std::map<std::string, std::string>& kept_files() const { return kept_; }
  std::vector<std::string> unknown() const;  // tensors that belong to no part and are not ignored

 private:
  std::optional<std::string> given_tokenizer(const std::string& component) const;

  std::shared_ptr<const SafetensorsReader> file_;
  const SingleFileLayout& layout_;
  ModelReading reading_;
  std::map<std::string, std::string> kept_;
  mutable std::mutex unpacking_;
  mutable std::string unpacked_;  // temporary folder, "" until needed
};

// What --tokenizer takes for a family, in words.
std::string how_to_give_tokenizers(const std::string& family);

// Whether a path holds a model: a folder, or a single file.
bool is_model_path(const std::string& path);

// The metadata key under which `sara convert` keeps the files of the folder form: a JSON object, path -> text, or {"hex": ...} for what is no text.
inline constexpr const char* kKeptFiles = "sara.files";
std::string packed_files(const std::map<std::string, std::string>& files);
// Throws BadFile(source) when it is malformed or a path could leave its folder.
std::map<std::string, std::string> unpacked_files(const std::string& text, const std::string& source);

}  // namespace sara
