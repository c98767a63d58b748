// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sara/data/image_folder.h"
#include "sara/data/latent_cache.h"
#include "sara/models/text_encoders.h"
#include "sara/tokenizers/tokenizer.h"

namespace sara {

// Token ids [B, T] int64 on the CPU → what the denoiser is told, on any device and in any floating dtype.
using EncodeText = std::function<TextConditions(const torch::Tensor& ids)>;

// Every different caption once, and the empty one, which stands for no caption at all.
struct TextCache {
  torch::Tensor ids;                       // [U, T] int64; row 0 is the empty caption
  torch::Tensor hidden;                    // [U, T', D], CPU; undefined when there is no encoder to run ahead of time
  torch::Tensor pooled;                    // [U, P], CPU; undefined for encoders that give none
  std::vector<std::vector<int64_t>> rows;  // per sample, the row of each of its captions
  std::vector<std::string> cut;            // captions longer than T tokens, whose ends are not seen
  bool reused = false;                     // hidden came from disk
  std::string key = {};                    // hash of all that hidden and pooled depend on; empty without an encoder

  static constexpr int64_t kEmpty = 0;

  // The row of the caption that `sample` uses in `epoch` (captions.h).
  int64_t row(int64_t sample, uint64_t seed, int64_t epoch) const;
};

struct TextCacheOptions {
  std::string folder;        // where the hidden states lie; empty: only in memory
  std::string encoder_hash;  // identity of the encoder's weights and dtype
  int64_t batch_size = 16;
};

// Tokenizes every caption and, when `encode` is given, encodes each once, or reads what an earlier run encoded from the
// same ids with the same encoder. Warns with three examples when captions are cut. Throws BadFile naming the caption
// whose hidden states are not finite, InvalidArgument for text that is not UTF-8, IoError.
TextCache cache_text(const std::vector<Sample>& samples, const Tokenizer& tokenizer, const TextCacheOptions& options,
                     const EncodeText& encode = {}, const CacheProgress& progress = {});

}  // namespace sara
