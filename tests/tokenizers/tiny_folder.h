// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "sara/files/atomic_file.h"
#include "sara/files/json.h"
#include "sara/tokenizers/bpe.h"

namespace sara {

// A tokenizer folder in CLIP's layout with a vocabulary small enough to follow by hand: byte letters (ids 0-255), the same
// with </w> (256-511), one token a merge (512 on), then the two special tokens. Removed at the end.
class TinyFolder {
 public:
  explicit TinyFolder(const std::vector<std::pair<std::string, std::string>>& merges)
      : path_(std::filesystem::temp_directory_path() / ("sara_tokenizer_" + std::to_string(getpid()) + "_" + std::to_string(count_++))) {
    std::filesystem::create_directories(path_);
    for (const char* end : {"", "</w>"})
      for (const std::string& letter : byte_alphabet()) add(letter + end);
    std::string lines = "#version: 0.2\n";
    for (const auto& [left, right] : merges) {
      add(left + right);
      lines += left + " " + right + "\n";
    }
    add("<|startoftext|>");
    add("<|endoftext|>");
    write_json(file("vocab.json"), vocab_);
    write_file(file("merges.txt"), lines);
  }
  ~TinyFolder() { std::filesystem::remove_all(path_); }

  std::string path() const { return path_; }
  std::string file(const std::string& name) const { return path_ / name; }
  int64_t id(const std::string& token) const { return vocab_.at(token).get<int64_t>(); }
  const Json& vocab() const { return vocab_; }

 private:
  void add(const std::string& token) { vocab_.emplace(token, vocab_.size()); }

  static inline int count_ = 0;
  std::filesystem::path path_;
  Json vocab_ = Json::object();
};

}  // namespace sara
