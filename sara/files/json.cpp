// SPDX-License-Identifier: Apache-2.0
#include "sara/files/json.h"

#include <cmath>
#include <utility>
#include <vector>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"
#include "sara/files/json_walk.h"

namespace sara {
namespace {

// Builds the value bottom-up: a finished container moves into the one around it.
class Builder : public JsonEvents {
 public:
  Json result;

  void begin_object() override { open(Json::object()); }
  void begin_array() override { open(Json::array()); }
  void end_object() override { close(); }
  void end_array() override { close(); }
  void key(std::string& name) override { open_.back().key = std::move(name); }
  void text(std::string& value) override { add(Json(std::move(value))); }
  void whole(uint64_t value) override { add(Json(value)); }
  void negative(int64_t value) override { add(Json(value)); }
  void real(double value) override { add(Json(value)); }
  void boolean(bool value) override { add(Json(value)); }
  void null() override { add(Json(nullptr)); }

 private:
  struct Open {
    Json value;
    std::string key;
  };

  void open(Json&& container) { open_.push_back({std::move(container), {}}); }
  void close() {
    Json finished = std::move(open_.back().value);
    open_.pop_back();
    add(std::move(finished));
  }
  void add(Json&& value) {
    if (open_.empty()) {
      result = std::move(value);
      return;
    }
    Open& around = open_.back();
    if (around.value.is_array()) {
      around.value.push_back(std::move(value));
    } else {
      // The keys are known to differ; ordered_map's own insertion would search all earlier ones again.
      auto& members = around.value.get_ref<Json::object_t&>();
      static_cast<Json::object_t::Container&>(members).emplace_back(std::move(around.key), std::move(value));
    }
  }

  std::vector<Open> open_;
};

// JSON has no NaN; nlohmann would write null in its place without a word.
void check_finite(const Json& value, const std::string& path) {
  if (value.is_number_float() && !std::isfinite(value.get<double>()))
    throw InvalidArgument(escaped(path) + ": a number is not finite, JSON cannot hold it");
  if (value.is_structured())
    for (const Json& item : value) check_finite(item, path);
}

}  // namespace

Json parse_json(std::string_view text, const std::string& source) {
  Builder builder;
  walk_json(text, source, builder);
  return std::move(builder.result);
}

Json read_json(const std::string& path) { return parse_json(read_file(path), path); }

void write_json(const std::string& path, const Json& value) {
  check_finite(value, path);
  std::string text;
  try {
    text = value.dump(2) + "\n";
  } catch (const Json::type_error&) {
    throw InvalidArgument(escaped(path) + ": a string is not UTF-8, JSON cannot hold it");
  }
  write_file(path, text);
}

}  // namespace sara
