// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

namespace sara {

// Some of the columns (or rows) of a matrix.
class ColumnSet {
 public:
  explicit ColumnSet(int64_t columns) : bits_(columns / 8 + 9) {}
  void insert(int64_t column) { bits_[column / 8] |= 1 << column % 8; }
  void insert(const ColumnSet& others) {  // of the same matrix
    for (size_t i = 0; i < bits_.size(); ++i) bits_[i] |= others.bits_[i];
  }
  uint32_t from(int64_t column) const {  // bits of this column and the 31 behind it
    uint64_t bits;
    std::memcpy(&bits, bits_.data() + column / 8, sizeof(bits));
    return static_cast<uint32_t>(bits >> column % 8);
  }

 private:
  std::vector<uint8_t> bits_;
};

}  // namespace sara
