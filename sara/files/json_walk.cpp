// SPDX-License-Identifier: Apache-2.0
#include "sara/files/json_walk.h"

#include <ios>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr size_t kDeepest = 127;

// An input iterator that reports how far the lexer has read, which nlohmann's SAX calls do not tell.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  uint64_t* count;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    ++at;
    ++*count;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
  bool operator!=(const CountingIterator& other) const { return at != other.at; }
};

std::string short_form(std::string text) {
  // nlohmann's texts begin with "[json.exception...] parse error at line 1, column 5: ".
  const size_t colon = text.find(": ");
  if (colon != std::string::npos) text.erase(0, colon + 2);
  constexpr size_t kLongest = 160;
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  // What was last read may be no UTF-8, or be cut within a character.
  std::string out;
  for (const char c : escaped(text)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x80 ? std::string(1, c) : message("\\x", std::hex, int{byte});
  }
  return out;
}

// Adapts nlohmann's SAX interface to JsonEvents and adds the checks.
class Checker : public nlohmann::json_sax<nlohmann::json> {
 public:
  Checker(const std::string& source, JsonEvents& events, uint64_t start) : source_(source), events_(events), start_(start) {}

  bool start_object(size_t) override {
    open();
    events_.begin_object();
    return true;
  }
  bool end_object() override {
    levels_.pop_back();
    events_.end_object();
    return true;
  }
  bool start_array(size_t) override {
    open();
    events_.begin_array();
    return true;
  }
  bool end_array() override {
    levels_.pop_back();
    events_.end_array();
    return true;
  }
  bool key(std::string& name) override {
    if (!levels_.back().insert(name).second) fail(message("JSON key \"", escaped(name), "\" appears twice in one object"));
    events_.key(name);
    return true;
  }
  bool string(std::string& value) override {
    events_.text(value);
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    events_.whole(value);
    return true;
  }
  bool number_integer(int64_t value) override {
    events_.negative(value);
    return true;
  }
  bool number_float(double value, const std::string&) override {
    events_.real(value);
    return true;
  }
  bool boolean(bool value) override {
    events_.boolean(value);
    return true;
  }
  bool null() override {
    events_.null();
    return true;
  }
  bool binary(nlohmann::json::binary_t&) override { return false; }  // not in JSON text
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& error) override {
    fail("not valid JSON: " + short_form(error.what()));
  }

 private:
  void open() {
    levels_.emplace_back();
    if (levels_.size() > kDeepest) fail(message("JSON nests more than ", kDeepest, " containers deep"));
  }
  [[noreturn]] void fail(const std::string& reason) { throw BadFile(source_, reason, start_ + events_.position); }

  const std::string& source_;
  JsonEvents& events_;
  uint64_t start_;
  std::vector<std::unordered_set<std::string>> levels_;  // the keys seen in each open container
};

}  // namespace

void walk_json(std::string_view text, const std::string& source, JsonEvents& events, uint64_t start) {
  // nlohmann takes a NUL for the end of the text and skips a byte order mark.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos)
    throw BadFile(source, "not valid JSON: it holds a NUL byte", start + nul);
  if (text.substr(0, 1) == "\xEF") throw BadFile(source, "not valid JSON: it begins with a byte order mark", start);
  events.position = 0;
  Checker checker(source, events, start);
  nlohmann::json::sax_parse(CountingIterator{text.data(), &events.position},
                            CountingIterator{text.data() + text.size(), &events.position}, &checker);
}

}  // namespace sara
