// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/joint.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "sara/base/error.h"

namespace sara {

JointTokenizer::JointTokenizer(std::vector<std::shared_ptr<const Tokenizer>> parts) : parts_(std::move(parts)) {
  SARA_CHECK(!parts_.empty(), "no tokenizers");
}

Encoding JointTokenizer::encode(std::string_view text) const {
  Encoding all;
  for (const auto& part : parts_) {
    const Encoding own = part->encode(text);
    all.ids.insert(all.ids.end(), own.ids.begin(), own.ids.end());
    all.length = std::max(all.length, own.length);
    all.truncated |= own.truncated;
  }
  return all;
}

int64_t JointTokenizer::max_length() const {
  const auto each = lengths();
  return std::accumulate(each.begin(), each.end(), int64_t{0});
}

std::vector<int64_t> JointTokenizer::lengths() const {
  std::vector<int64_t> each;
  for (const auto& part : parts_) each.push_back(part->max_length());
  return each;
}

}  // namespace sara
