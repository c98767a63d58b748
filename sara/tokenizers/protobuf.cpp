// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/protobuf.h"

#include <bit>
#include <cstring>

#include "sara/base/error.h"

namespace sara {

void ProtobufFields::fail() const { throw BadFile(source_, "is damaged, or no SentencePiece model. Fix: download the tokenizer again"); }

void ProtobufFields::need(Kind kind) const {
  if (kind_ != kind) fail();
}

std::string_view ProtobufFields::take(uint64_t bytes) {
  if (bytes > rest_.size()) fail();
  const auto taken = rest_.substr(0, bytes);
  rest_.remove_prefix(bytes);
  return taken;
}

uint64_t ProtobufFields::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(take(1).front());
    value |= uint64_t(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  fail();
}

bool ProtobufFields::next() {
  if (rest_.empty()) return false;
  const uint64_t tag = varint();
  number_ = tag >> 3;
  kind_ = tag & 7;
  if (kind_ == kVarint) {
    integer_ = varint();
  } else if (kind_ == kText) {
    text_ = take(varint());
  } else if (kind_ == k32Bits || kind_ == k64Bits) {
    text_ = take(kind_ == k32Bits ? 4 : 8);
  } else {
    fail();
  }
  return true;
}

std::string_view ProtobufFields::text() const {
  need(kText);
  return text_;
}

uint64_t ProtobufFields::integer() const {
  need(kVarint);
  return integer_;
}

float ProtobufFields::real() const {
  need(k32Bits);
  uint32_t bits;
  std::memcpy(&bits, text_.data(), sizeof(bits));
  return std::bit_cast<float>(bits);
}

}  // namespace sara
