// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "sara/tokenizers/tokenizer.h"

namespace sara {

// Several tokenizers read the same caption; their ids stand one after the other. The families with several text
// encoders have one tokenizer each: lengths() tells where to cut the ids apart again.
class JointTokenizer : public Tokenizer {
 public:
  // At least one.
  explicit JointTokenizer(std::vector<std::shared_ptr<const Tokenizer>> parts);

  // length is the longest of the parts', truncated says that any part cut the caption.
  Encoding encode(std::string_view text) const override;
  int64_t max_length() const override;

  std::vector<int64_t> lengths() const;  // max_length() of each part

 private:
  std::vector<std::shared_ptr<const Tokenizer>> parts_;
};

}  // namespace sara
