// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/text_conditioner.h"

#include "sara/base/error.h"
#include "sara/tokenizers/clip.h"
#include "sara/tokenizers/t5.h"

#include <vector>

namespace sara {
namespace {

constexpr int64_t kT5Length = 256;

std::shared_ptr<TextEncoders> load_encoders(const ModelFolder& model, c10::ScalarType dtype, c10::Device device, int64_t t5_length) {
  const auto clip = [&](const char* name) { return model.load_clip_text(name, dtype, device); };
  const auto family = model.family();
  if (family == "sdxl") return std::make_shared<SdxlTextEncoders>(clip("text_encoder"), clip("text_encoder_2"));
  if (family != "sd3") return std::make_shared<SdTextEncoders>(clip("text_encoder"));
  std::shared_ptr<T5EncoderModel> t5;
  if (model.has("text_encoder_3")) t5 = model.load_t5("text_encoder_3", dtype == torch::kHalf ? torch::kBFloat16 : dtype, device);
  const auto width = model.read_config<MmditConfig>("transformer").joint_attention_dim;
  try {
    return std::make_shared<Sd3TextEncoders>(clip("text_encoder"), clip("text_encoder_2"), t5, width, t5_length);
  } catch (const InvalidArgument& error) {
    throw BadFile(model.path(), error.what());
  }
}

// A tokenizer that gives no id or length its encoder does not take.
template <class Kind, class... Options>
std::shared_ptr<const Tokenizer> load_tokenizer(const ModelFolder& model, const std::string& name, const TextEncoders::Input& input, Options... options) {
  const auto tokenizer = std::make_shared<Kind>(model.tokenizer_path(name), options...);
  const auto at_most = [&](const char* what, int64_t most, int64_t got) {
    if (got > most) throw BadFile(model.path(), message("the parts do not fit each other: ", what, " (expected ", most, ", got ", got, ")"));
  };
  at_most("token ids", input.vocabulary, tokenizer->vocabulary_size());
  at_most("tokens of a prompt", input.positions, tokenizer->max_length());
  return tokenizer;
}

}  // namespace

TextConditions TextConditioner::encode(const torch::Tensor& ids) const {
  return encoders->encode(ids.split_with_sizes(tokenizer->lengths(), 1));
}

TextConditioner load_text_conditioner(const ModelFolder& model, c10::ScalarType dtype, c10::Device device, std::optional<int64_t> max_sequence_length) {
  if (max_sequence_length && model.family() != "sd3")
    throw InvalidArgument("max_sequence_length: only Stable Diffusion 3 has an encoder of free length. Fix: leave it out");
  model.require_whole();
  const int64_t t5_length = max_sequence_length.value_or(kT5Length);
  TextConditioner conditioner;
  conditioner.encoders = load_encoders(model, dtype, device, t5_length);
  if (model.family() == "sdxl") conditioner.zeros_when_absent = model.index().value("force_zeros_for_empty_prompt", true);
  const auto inputs = conditioner.encoders->inputs();
  const std::string names[] = {"tokenizer", "tokenizer_2", "tokenizer_3"};
  std::vector<std::shared_ptr<const Tokenizer>> tokenizers;
  for (size_t i = 0; i < inputs.size(); ++i) {
    tokenizers.push_back(i < 2 ? load_tokenizer<ClipTokenizer>(model, names[i], inputs[i])
                               : load_tokenizer<T5Tokenizer>(model, names[i], inputs[i], t5_length));
  }
  conditioner.tokenizer = std::make_shared<JointTokenizer>(std::move(tokenizers));
  return conditioner;
}

std::string text_encoders_hash(const ModelFolder& model) {
  std::string hash;
  for (const auto& name : model.text_encoder_names()) hash += model.component_hash(name);
  return hash;
}

}  // namespace sara
