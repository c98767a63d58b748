// SPDX-License-Identifier: Apache-2.0
#include "cli/option_flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "sara/base/message.h"

namespace sara::cli {
namespace {

template <class T>
struct Plain {
  using type = T;
};
template <class T>
struct Plain<std::optional<T>> {
  using type = T;
};
template <class T>
using PlainType = typename Plain<T>::type;

template <class T>
constexpr const char* kind_of() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_same_v<T, int64_t>) return "whole number";
  if constexpr (std::is_same_v<T, double>) return "number";
  if constexpr (std::is_same_v<T, std::string>) return "text";
  return "list of texts";
}

template <class T>
bool has_kind(const Json& value) {
  if constexpr (std::is_same_v<T, bool>) return value.is_boolean();
  if constexpr (std::is_same_v<T, int64_t>) return value.is_number_integer();
  if constexpr (std::is_same_v<T, double>) return value.is_number();
  if constexpr (std::is_same_v<T, std::string>) return value.is_string();
  return value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& v) { return v.is_string(); });
}

template <class T>
std::optional<std::string> range_problem(const T& value, const Legal& legal) {
  if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, double>) {
    if (!std::isfinite(double(value)) || !legal.allows(double(value))) {
      return message("out of range (expected ", legal.text(), ", got ", value, ")");
    }
  }
  if constexpr (std::is_same_v<T, std::string>) {
    if (legal.allows(value)) return std::nullopt;
    const auto near = nearest_name(value, legal.choices);
    return message("unknown value (expected ", legal.text(), ", got ", escaped(value), ")",
                   near ? ". Fix: did you mean " + *near + "?" : "");
  }
  return std::nullopt;
}

template <class T>
Json number_from(const std::string& text, std::string& problem) {
  T number{};
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && stopped == end) return number;
  problem = message("not a ", kind_of<T>(), " (got ", text.empty() ? "nothing" : escaped(text), ")");
  return nullptr;
}

}  // namespace

std::string Field::flag() const {
  std::string out = "--" + name;
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

std::string Field::environment() const {
  std::string out = "SARA_" + name;
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::toupper(c); });
  return out;
}

bool Field::is_switch() const {
  return std::holds_alternative<bool*>(target) || std::holds_alternative<std::optional<bool>*>(target);
}

bool Field::is_list() const { return std::holds_alternative<std::vector<std::string>*>(target); }

std::string Field::kind() const {
  return std::visit([](auto* at) { return kind_of<PlainType<std::remove_pointer_t<decltype(at)>>>(); }, target);
}

Json Field::value() const {
  return std::visit(
      [](auto* at) -> Json {
        using T = std::remove_pointer_t<decltype(at)>;
        if constexpr (std::is_same_v<T, PlainType<T>>) {
          return *at;
        } else {
          return *at ? Json(**at) : Json(nullptr);
        }
      },
      target);
}

Json Field::parsed(const std::string& text, std::string& problem) const {
  return std::visit(
      [&](auto* at) -> Json {
        using T = PlainType<std::remove_pointer_t<decltype(at)>>;
        if constexpr (std::is_same_v<T, bool>) {
          if (text == "true" || text == "1" || text == "yes" || text == "on") return true;
          if (text == "false" || text == "0" || text == "no" || text == "off") return false;
          problem = message("not true or false (got ", escaped(text), ")");
          return nullptr;
        } else if constexpr (std::is_same_v<T, int64_t> || std::is_same_v<T, double>) {
          return number_from<T>(text, problem);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return text;
        } else {
          return Json::array({text});
        }
      },
      target);
}

std::optional<std::string> Field::assign(const Json& value, const std::string& from) {
  return std::visit(
      [&](auto* at) -> std::optional<std::string> {
        using T = PlainType<std::remove_pointer_t<decltype(at)>>;
        if (!has_kind<T>(value)) return message("wrong type (expected a ", kind_of<T>(), ", got ", value.dump(), ")");
        T plain = value.template get<T>();
        if (auto problem = range_problem(plain, legal)) return problem;
        *at = std::move(plain);
        origin = from;
        return std::nullopt;
      },
      target);
}

}  // namespace sara::cli
