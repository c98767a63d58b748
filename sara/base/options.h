// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace sara {

// Options are plain structs that describe each field once:
//
//   struct RankOptions {
//     double lambda_rank = 5e-3;
//     std::string rank_mode = "one";
//     template <class V> void visit(V&& v) {
//       v("lambda_rank", lambda_rank, "Weight of the nuclear-norm loss", at_least(0));
//       v("rank_mode", rank_mode, "Matrices regularised at a step", one_of({"one", "all"}));
//     }
//   };
//
// Flags, --help, TOML, JSON and checks all walk visit(). Field types: bool, int64_t, double, std::string,
// std::optional of those, std::vector<std::string>. Names are snake_case (a flag is the same in kebab-case).

// What a value may be. Numbers: an interval, open where said. Strings: one of `choices` when there are any.
struct Legal {
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
  bool low_open = false, high_open = false;
  std::vector<std::string> choices = {};

  bool allows(double value) const;              // NaN is never allowed
  bool allows(const std::string& value) const;
  std::string text() const;                     // "> 0", "in [0, 1)", "one of a, b"
};

inline Legal anything() { return {}; }
inline Legal above(double low) { return {.low = low, .low_open = true}; }
inline Legal at_least(double low) { return {.low = low}; }
inline Legal between(double low, double high) { return {.low = low, .high = high}; }
inline Legal one_of(std::vector<std::string> choices) { return {.choices = std::move(choices)}; }

// The known name nearest to `name` by edit distance, for "did you mean"; nothing when none is near.
std::optional<std::string> nearest_name(const std::string& name, const std::vector<std::string>& known);

// Throws InvalidArgument listing every field of `options` that is outside its legal range.
template <class Options>
void check_options(Options& options);

namespace detail {
struct OptionCheck {
  std::vector<std::string> problems;
  void number(const char* name, double value, const Legal& legal);
  void word(const char* name, const std::string& value, const Legal& legal);
  void operator()(const char*, bool, const char*, const Legal& = {}) {}
  void operator()(const char* name, int64_t value, const char*, const Legal& l = {}) { number(name, double(value), l); }
  void operator()(const char* name, double value, const char*, const Legal& l = {}) { number(name, value, l); }
  void operator()(const char* name, const std::string& value, const char*, const Legal& l = {}) { word(name, value, l); }
  void operator()(const char*, const std::vector<std::string>&, const char*, const Legal& = {}) {}
  template <class T>
  void operator()(const char* name, const std::optional<T>& value, const char* help, const Legal& l = {}) {
    if (value) (*this)(name, *value, help, l);
  }
  void finish() const;
};
}  // namespace detail

template <class Options>
void check_options(Options& options) {
  detail::OptionCheck check;
  options.visit(check);
  check.finish();
}

}  // namespace sara
