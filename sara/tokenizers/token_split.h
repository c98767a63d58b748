// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "sara/tokenizers/special_tokens.h"

namespace sara {

// Hands the text between tokens to `rest` and the tokens' ids to `ids`, in order. Tokens are taken leftmost first, of
// several at one place the first in `tokens` (the longest).
template <class Rest>
void split_at_tokens(std::string_view text, const std::vector<AddedToken>& tokens, std::vector<int64_t>& ids, Rest rest) {
  std::vector<size_t> next(tokens.size());  // where each token is seen next; looked for again only once passed
  for (size_t k = 0; k < tokens.size(); ++k) next[k] = text.find(tokens[k].content);
  size_t from = 0;
  while (true) {
    const auto nearest = std::ranges::min_element(next);
    if (nearest == next.end() || *nearest == std::string_view::npos) break;
    const AddedToken& token = tokens[nearest - next.begin()];
    if (*nearest > from) rest(text.substr(from, *nearest - from));
    ids.push_back(token.id);
    from = *nearest + token.content.size();
    for (size_t k = 0; k < tokens.size(); ++k)
      if (next[k] < from) next[k] = text.find(tokens[k].content, from);
  }
  if (from < text.size()) rest(text.substr(from));
}

}  // namespace sara
