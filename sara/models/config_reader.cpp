// SPDX-License-Identifier: Apache-2.0
#include "sara/models/config_reader.h"

#include "sara/base/error.h"
#include "sara/base/message.h"

#include <algorithm>
#include <cmath>

namespace sara {
namespace {

bool is_count(const Json& value, int64_t minimum = 1) {
  return value.is_number_integer() && value.get<int64_t>() >= minimum && value.get<int64_t>() <= INT32_MAX;
}

}  // namespace

ConfigReader::ConfigReader(const Json& json, std::string what) : json_(json), what_(std::move(what)) {
  if (!json.is_object())
    throw InvalidArgument(message(what_, " config is not a JSON object. Fix: give its config.json"));
}

void ConfigReader::refuse(const std::string& key, const std::string& expected) const {
  std::string got = json_.at(key).dump();
  if (got.size() > 80) got = got.substr(0, 77) + "...";
  throw InvalidArgument(message(what_, " config: \"", key, "\" has an unsupported value (expected ", expected, ", got ",
                                escaped(got), "). Fix: correct \"", key, "\" in config.json or use another model"));
}

bool ConfigReader::given(const std::string& key) const { return json_.contains(key) && !json_.at(key).is_null(); }

int64_t ConfigReader::integer(const std::string& key, int64_t fallback, int64_t minimum) const {
  if (!json_.contains(key)) return fallback;
  if (!is_count(json_.at(key), minimum)) refuse(key, message("an integer from ", minimum));
  return json_.at(key).get<int64_t>();
}

double ConfigReader::real(const std::string& key, double fallback) const {
  if (!json_.contains(key)) return fallback;
  if (!json_.at(key).is_number() || !std::isfinite(json_.at(key).get<double>())) refuse(key, "a number");
  return json_.at(key).get<double>();
}

double ConfigReader::positive(const std::string& key, double fallback) const {
  const double value = real(key, fallback);
  if (!(value > 0)) refuse(key, "a positive number");
  return value;
}

bool ConfigReader::boolean(const std::string& key, bool fallback) const {
  if (!json_.contains(key)) return fallback;
  if (!json_.at(key).is_boolean()) refuse(key, "true or false");
  return json_.at(key).get<bool>();
}

std::string ConfigReader::text(const std::string& key, const std::string& fallback) const {
  if (!json_.contains(key)) return fallback;
  if (!json_.at(key).is_string()) refuse(key, "a string");
  return json_.at(key).get<std::string>();
}

std::vector<int64_t> ConfigReader::integers(const std::string& key, const std::vector<int64_t>& fallback) const {
  if (!json_.contains(key)) return fallback;
  const Json& list = json_.at(key);
  const bool good =
      list.is_array() && !list.empty() && std::ranges::all_of(list, [](const Json& v) { return is_count(v); });
  if (!good) refuse(key, "a list of positive integers");
  return list.get<std::vector<int64_t>>();
}

std::vector<int64_t> ConfigReader::indices(const std::string& key) const {
  if (!json_.contains(key)) return {};
  const Json& list = json_.at(key);
  const bool good = list.is_array() && std::ranges::all_of(list, [](const Json& v) { return v.is_number_integer() && v.get<double>() >= 0 && v.get<double>() <= 1e6; });
  if (!good) refuse(key, "a list of integers from 0");
  return list.get<std::vector<int64_t>>();
}

std::vector<std::string> ConfigReader::texts(const std::string& key, const std::vector<std::string>& fallback) const {
  if (!json_.contains(key)) return fallback;
  const Json& list = json_.at(key);
  const bool good =
      list.is_array() && !list.empty() && std::ranges::all_of(list, [](const Json& v) { return v.is_string(); });
  if (!good) refuse(key, "a list of strings");
  return list.get<std::vector<std::string>>();
}

std::vector<int64_t> ConfigReader::per_block(const std::string& key, size_t blocks, int64_t fallback) const {
  if (!json_.contains(key)) return std::vector<int64_t>(blocks, fallback);
  if (is_count(json_.at(key))) return std::vector<int64_t>(blocks, json_.at(key).get<int64_t>());
  const Json& list = json_.at(key);
  const bool good =
      list.is_array() && list.size() == blocks && std::ranges::all_of(list, [](const Json& v) { return is_count(v); });
  if (!good) refuse(key, message("a positive integer or a list of ", blocks, " of them"));
  return list.get<std::vector<int64_t>>();
}

void ConfigReader::only(const std::string& key, const std::vector<Json>& values) const {
  if (!json_.contains(key) || std::ranges::find(values, json_.at(key)) != values.end()) return;
  std::string expected;
  for (const Json& value : values) expected += (expected.empty() ? "" : " or ") + value.dump();
  refuse(key, expected);
}

Json per_block_json(const std::vector<int64_t>& values) {
  const bool equal = !values.empty() && std::ranges::all_of(values, [&](int64_t v) { return v == values.front(); });
  return equal ? Json(values.front()) : Json(values);
}

}  // namespace sara
