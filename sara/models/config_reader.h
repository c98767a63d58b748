// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/files/json.h"

#include <cstdint>
#include <string>
#include <vector>

namespace sara {

// Reads typed values from a model's config.json. A missing key gives the default; null gives the default only where the
// model's class allows it (`or_null`). A wrong type or range throws InvalidArgument that names the model and the key.
class ConfigReader {
 public:
  // `what` starts every error text, e.g. "UNet2DConditionModel". `json` must outlive the reader.
  ConfigReader(const Json& json, std::string what);

  int64_t integer(const std::string& key, int64_t fallback, int64_t minimum = 1) const;
  double real(const std::string& key, double fallback) const;
  double positive(const std::string& key, double fallback) const;
  bool boolean(const std::string& key, bool fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  std::vector<int64_t> integers(const std::string& key, const std::vector<int64_t>& fallback) const;
  std::vector<std::string> texts(const std::string& key, const std::vector<std::string>& fallback) const;
  // A list of integers from 0, which may be empty or missing.
  std::vector<int64_t> indices(const std::string& key) const;
  // One number for all blocks, or a list of `blocks` numbers.
  std::vector<int64_t> per_block(const std::string& key, size_t blocks, int64_t fallback) const;

  bool given(const std::string& key) const;  // present and not null
  // Throws unless the key is missing or has one of the values: for keys of variants that are not supported.
  void only(const std::string& key, const std::vector<Json>& values) const;

 private:
  [[noreturn]] void refuse(const std::string& key, const std::string& expected) const;

  const Json& json_;
  std::string what_;
};

// The shortest form of a per-block list: one number when all are equal, as published configs write it.
Json per_block_json(const std::vector<int64_t>& values);

}  // namespace sara
