// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sara {

// What byte pair encoding knows: every token with its id, and the pairs that may be joined, most wanted first.
// Tokens are written in the byte-level alphabet (bpe.h); `</w>` ends a token that ends a word.
struct Vocabulary {
  std::unordered_map<std::string, int64_t> ids;
  std::vector<std::pair<std::string, std::string>> merges;
  std::string source;  // the file that holds the tokens, for messages
};

// vocab.json (`{"token": id, ...}`) and merges.txt (one `left right` a line; a first line `#version...` is skipped).
// Throws BadFile naming the line when a merge is malformed or its parts or its result are not in the vocabulary,
// and when an id is negative, not an integer, or given twice.
Vocabulary read_vocabulary(const std::string& vocab_path, const std::string& merges_path);

// The same from the single file tokenizer.json (keys model.vocab and model.merges, each merge "left right" or a pair).
Vocabulary read_tokenizer_json(const std::string& path);

// From a tokenizer folder: vocab.json with merges.txt when both are there, else tokenizer.json. Throws BadFile
// when the folder has neither.
Vocabulary read_vocabulary_folder(const std::string& folder);

}  // namespace sara
