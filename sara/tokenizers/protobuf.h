// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sara {

// Walks the fields of one protocol-buffer message as they lie in memory; a nested message is the text of its field.
//   for (ProtobufFields fields(bytes, source); fields.next();) if (fields.number() == 1) use(fields.text());
class ProtobufFields {
 public:
  // `source` names the file in messages; both must outlive the walk.
  ProtobufFields(std::string_view bytes, const std::string& source) : rest_(bytes), source_(source) {}

  // Goes to the next field; false at the end. Throws BadFile when a field is cut short or of no known kind.
  bool next();

  uint64_t number() const { return number_; }
  // Each throws BadFile unless the field is of this kind.
  std::string_view text() const;  // bytes, strings, nested messages
  uint64_t integer() const;       // varint
  float real() const;             // 32 bits

 private:
  enum Kind : uint64_t { kVarint = 0, k64Bits = 1, kText = 2, k32Bits = 5 };
  uint64_t varint();
  std::string_view take(uint64_t bytes);
  [[noreturn]] void fail() const;
  void need(Kind kind) const;

  std::string_view rest_, text_;
  const std::string& source_;
  uint64_t number_ = 0, kind_ = 0, integer_ = 0;
};

}  // namespace sara
