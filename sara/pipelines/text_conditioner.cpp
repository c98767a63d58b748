// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/text_conditioner.h"

#include "sara/base/error.h"
#include "sara/tokenizers/clip.h"

#include <vector>

namespace sara {
namespace {

void require_fit(const ModelFolder& model, const ClipTokenizer& tokenizer, const TextEncoders::Input& input) {
  const auto at_most = [&](const char* what, int64_t most, int64_t got) {
    if (got > most) throw BadFile(model.path(), message("the parts do not fit each other: ", what, " (expected ", most, ", got ", got, ")"));
  };
  at_most("token ids", input.vocabulary, tokenizer.vocabulary_size());
  at_most("tokens of a prompt", input.positions, tokenizer.max_length());
}

}  // namespace

TextConditions TextConditioner::encode(const torch::Tensor& ids) const {
  return encoders->encode(ids.split_with_sizes(tokenizer->lengths(), 1));
}

TextConditioner load_text_conditioner(const ModelFolder& model, c10::ScalarType dtype, c10::Device device) {
  TextConditioner conditioner;
  const bool xl = model.family() == "sdxl";
  if (xl) {
    conditioner.encoders = std::make_shared<SdxlTextEncoders>(model.load_clip_text("text_encoder", dtype, device),
                                                              model.load_clip_text("text_encoder_2", dtype, device));
    conditioner.zeros_when_absent = model.index().value("force_zeros_for_empty_prompt", true);
  } else {
    conditioner.encoders = std::make_shared<SdTextEncoders>(model.load_clip_text("text_encoder", dtype, device));
  }
  std::vector<std::shared_ptr<const Tokenizer>> tokenizers;
  const auto inputs = conditioner.encoders->inputs();
  for (const char* name : {"tokenizer", "tokenizer_2"}) {
    if (tokenizers.size() == inputs.size()) break;
    const auto tokenizer = std::make_shared<ClipTokenizer>(model.tokenizer_path(name));
    require_fit(model, *tokenizer, inputs[tokenizers.size()]);
    tokenizers.push_back(tokenizer);
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
