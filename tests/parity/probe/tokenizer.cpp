// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include "sara/tokenizers/bert.h"
#include "sara/tokenizers/clip.h"
#include "sara/tokenizers/t5.h"
#include "tests/parity/probe/probe.h"

// config: folder, for T5's and BERT's tokenizers max_length, and for BERT's bert: true. tensors: text (uint8, all captions one after another) and ends (int64, where each ends).
SARA_PROBE(tokenizer) {
  const auto folder = in.config.at("folder").get<std::string>();
  std::unique_ptr<sara::Tokenizer> made;
  if (in.config.contains("bert"))
    made = std::make_unique<sara::BertTokenizer>(folder, in.config.at("max_length").get<int64_t>());
  else if (in.config.contains("max_length"))
    made = std::make_unique<sara::T5Tokenizer>(folder, in.config.at("max_length").get<int64_t>());
  else
    made = std::make_unique<sara::ClipTokenizer>(folder);
  const sara::Tokenizer& tokenizer = *made;
  const auto text = in.tensors.at("text").contiguous(), ends = in.tensors.at("ends").contiguous();
  const auto ids = torch::empty({ends.numel(), tokenizer.max_length()}, torch::kInt64);
  const auto lengths = torch::empty({ends.numel()}, torch::kInt64), truncated = torch::empty({ends.numel()}, torch::kBool);
  int64_t begin = 0;
  for (int64_t i = 0; i < ends.numel(); ++i) {
    const int64_t end = ends.data_ptr<int64_t>()[i];
    const auto encoding = tokenizer.encode({reinterpret_cast<const char*>(text.data_ptr<uint8_t>()) + begin, size_t(end - begin)});
    std::copy(encoding.ids.begin(), encoding.ids.end(), ids.data_ptr<int64_t>() + i * tokenizer.max_length());
    lengths.data_ptr<int64_t>()[i] = encoding.length;
    truncated.data_ptr<bool>()[i] = encoding.truncated;
    begin = end;
  }
  out["ids"] = ids;
  out["lengths"] = lengths;
  out["truncated"] = truncated;
}
