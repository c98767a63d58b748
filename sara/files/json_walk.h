// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sara {

// What a JSON text holds, one call per token in the order of the text. Numbers keep the form they were written in:
// digits alone are `whole`, a minus sign makes them `negative` (also -0), a point, an exponent or more than 64 bits `real`.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual void begin_object() = 0;
  virtual void end_object() = 0;
  virtual void begin_array() = 0;
  virtual void end_array() = 0;
  virtual void key(std::string& name) = 0;  // unescaped; may be moved from
  virtual void text(std::string& value) = 0;
  virtual void whole(uint64_t value) = 0;
  virtual void negative(int64_t value) = 0;
  virtual void real(double value) = 0;
  virtual void boolean(bool value) = 0;
  virtual void null() = 0;
  // The byte just behind the present token, counted from the start of the text.
  uint64_t position = 0;
};

// Walks one JSON text (RFC 8259, UTF-8) and refuses what parsers commonly let through: a key given twice in one object
// (compared after unescaping, at any depth), more than 127 nested containers, a NUL byte, a byte order mark.
// Nothing recurses, so no text can exhaust the stack. Throws BadFile(source) whose offset is that of the text plus `start`.
void walk_json(std::string_view text, const std::string& source, JsonEvents& events, uint64_t start = 0);

}  // namespace sara
