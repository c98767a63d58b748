// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/parts_fit.h"

#include <vector>

#include "sara/base/message.h"

namespace sara {
namespace {

using Number = std::optional<int64_t>;

Number said(const std::optional<Json>& config, const char* key, Number otherwise = std::nullopt) {
  if (!config || !config->is_object()) return std::nullopt;
  const auto found = config->find(key);
  if (found == config->end()) return otherwise;
  return found->is_number_integer() ? Number(found->get<int64_t>()) : std::nullopt;
}

Number both(const Number& a, const Number& b) { return a && b ? Number(*a + *b) : std::nullopt; }

std::string apart(const char* what, const Number& expected, const Number& got) {
  return expected && got && *expected != *got ? message(what, " (expected ", *expected, ", got ", *got, ")") : "";
}

std::string first_of(const std::vector<std::string>& all) {
  for (const auto& one : all)
    if (!one.empty()) return one;
  return "";
}

}  // namespace

std::string parts_apart(const std::string& family, const ComponentConfigs& config) {
  constexpr const char *kText = "width of the text embeddings", *kPooled = "width of the pooled text", *kLatents = "channels of the latents";
  const auto first = config("text_encoder"), second = config("text_encoder_2"), vae = config("vae");
  const auto denoiser = config(family == "sd3" ? "transformer" : "unet");
  const auto clips = both(said(first, "hidden_size"), said(second, "hidden_size"));
  const auto latents = apart(kLatents, said(denoiser, "in_channels", family == "sd3" ? 16 : 4), said(vae, "latent_channels", 4));
  if (family == "sd3") {
    const auto text = said(denoiser, "joint_attention_dim");
    const bool wide = text && clips && *clips > *text;  // a narrower one is padded
    const auto pooled = both(said(first, "projection_dim"), said(second, "projection_dim"));
    return first_of({apart(kText, text, said(config("text_encoder_3"), "d_model")), wide ? apart(kText, text, clips) : "",
                     apart(kPooled, said(denoiser, "pooled_projection_dim"), pooled), latents});
  }
  const auto text = said(denoiser, "cross_attention_dim");
  if (family != "sdxl") return first_of({apart(kText, text, said(first, "hidden_size")), latents});
  const auto inputs = said(denoiser, "projection_class_embeddings_input_dim"), ids = said(denoiser, "addition_time_embed_dim");
  const auto pooled = inputs && ids ? Number(*inputs - 6 * *ids) : std::nullopt;
  return first_of({apart(kText, text, clips), apart(kPooled, pooled, said(second, "projection_dim")), latents});
}

}  // namespace sara
