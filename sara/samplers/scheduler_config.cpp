// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/scheduler_config.h"

#include <algorithm>
#include <cmath>

#include "sara/base/error.h"
#include "sara/base/options.h"

namespace sara {
namespace {

const std::vector<std::string> kLeading = {"DDPMScheduler", "DDIMScheduler", "PNDMScheduler"};
const std::vector<std::string> kLinspace = {
    "EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",   "UniPCMultistepScheduler",         "DEISMultistepScheduler"};
const std::vector<std::string> kFlow = {"FlowMatchEulerDiscreteScheduler"};

bool contains(const std::vector<std::string>& names, const std::string& name) { return std::ranges::find(names, name) != names.end(); }

std::vector<std::string> known_classes() {
  std::vector<std::string> all = kLeading;
  for (const auto* more : {&kLinspace, &kFlow}) all.insert(all.end(), more->begin(), more->end());
  return all;
}

// JSON to a field; false when the kind is wrong.
bool assign(const Json& json, bool& out) { return json.is_boolean() && (out = json.get<bool>(), true); }
bool assign(const Json& json, int64_t& out) { return json.is_number_integer() && (out = json.get<int64_t>(), true); }
bool assign(const Json& json, std::string& out) { return json.is_string() && (out = json.get<std::string>(), true); }
bool assign(const Json& json, double& out) {
  if (json == "-inf") return out = -std::numeric_limits<double>::infinity(), true;  // JSON has no infinity of its own
  return json.is_number() && (out = json.get<double>(), true);
}
bool assign(const Json& json, std::vector<double>& out) {
  if (!json.is_array() || !std::ranges::all_of(json, [](const Json& v) { return v.is_number(); })) return false;
  out = json.get<std::vector<double>>();
  return true;
}
template <class T>
bool assign(const Json& json, std::optional<T>& out) {
  if (json.is_null()) return out.reset(), true;
  T value;
  return assign(json, value) && (out = value, true);
}

Json written(double value) { return std::isinf(value) ? Json("-inf") : Json(value); }
template <class T>
Json written(const T& value) {
  return value;
}
template <class T>
Json written(const std::optional<T>& value) {
  return value ? written(*value) : Json(nullptr);
}

void check(const SchedulerConfig& c, const std::string& source) {
  const auto fail = [&](const char* key, const std::string& legal, const auto& got) {
    throw BadFile(source, message("wrong ", key, " (expected ", legal, ", got ", got, ")"));
  };
  const auto word = [&](const char* key, const std::string& value, std::vector<std::string> known) {
    if (!contains(known, value)) fail(key, one_of(known).text(), value);
  };
  if (c.num_train_timesteps < 1 || c.num_train_timesteps > 1000000) fail("num_train_timesteps", "1 to 1000000", c.num_train_timesteps);
  if (!(c.beta_start > 0 && c.beta_start < 1)) fail("beta_start", "above 0 and below 1", c.beta_start);
  if (!(c.beta_end > 0 && c.beta_end < 1)) fail("beta_end", "above 0 and below 1", c.beta_end);
  if (!(c.shift > 0)) fail("shift", "> 0", c.shift);
  if (c.steps_offset < 0) fail("steps_offset", ">= 0", c.steps_offset);
  if (!(c.clip_sample_range > 0)) fail("clip_sample_range", "> 0", c.clip_sample_range);
  word("beta_schedule", c.beta_schedule, {"linear", "scaled_linear", "squaredcos_cap_v2"});
  word("prediction_type", c.prediction_type, {"epsilon", "v_prediction", "sample"});
  word("timestep_spacing", c.timestep_spacing, {"leading", "linspace", "trailing"});
  word("final_sigmas_type", c.final_sigmas_type, {"zero", "sigma_min"});
  if (!c.trained_betas) return;
  if (int64_t(c.trained_betas->size()) != c.num_train_timesteps)
    fail("trained_betas", message(c.num_train_timesteps, " numbers, one per training timestep"), c.trained_betas->size());
  for (const double beta : *c.trained_betas)
    if (!(beta >= 0 && beta < 1)) fail("trained_betas", "numbers >= 0 and below 1", beta);
}

}  // namespace

SchedulerConfig SchedulerConfig::defaults(const std::string& class_name) {
  SchedulerConfig config;
  config.class_name = class_name;
  if (!contains(known_classes(), class_name))
    throw InvalidArgument(message("scheduler class ", escaped(class_name), " is unknown (expected ", one_of(known_classes()).text(),
                                  "). Fix: write one of these as _class_name in scheduler_config.json"));
  if (class_name == "PNDMScheduler") config.set_alpha_to_one = false;
  if (contains(kLinspace, class_name)) {
    config.timestep_spacing = "linspace";
    config.variance_type.reset();
  }
  return config;
}

SchedulerConfig SchedulerConfig::from_json(const Json& json, const std::string& source) {
  if (!json.is_object()) throw BadFile(source, message("not a scheduler config (expected an object, got ", json.type_name(), ")"));
  const Json class_name = json.value("_class_name", Json("DDPMScheduler"));
  if (!class_name.is_string() || !contains(known_classes(), class_name.get<std::string>()))
    throw BadFile(source, message("wrong _class_name (expected ", one_of(known_classes()).text(), ", got ", class_name.dump(),
                                  "). Fix: write one of these; the noise schedule keys stay the same"));
  SchedulerConfig config = defaults(class_name.get<std::string>());
  config.unknown = json;
  config.unknown.erase("_class_name");
  config.visit([&](const char* name, auto& field) {
    const auto found = json.find(name);
    if (found == json.end()) return;
    if (!assign(*found, field))
      throw BadFile(source, message("wrong ", name, " (got ", found->dump().substr(0, 60), ", which is of the wrong kind)"));
    config.unknown.erase(name);
    config.written_.push_back(name);
  });
  check(config, source);
  return config;
}

Json SchedulerConfig::to_json() const {
  Json json = {{"_class_name", class_name}};
  json.update(unknown);
  SchedulerConfig now = *this, before = defaults(class_name);
  Json standard;
  before.visit([&](const char* name, auto& field) { standard[name] = written(field); });
  now.visit([&](const char* name, auto& field) {
    const Json value = written(field);
    if (value != standard[name] || contains(written_, name)) json[name] = value;
  });
  return json;
}

SchedulerConfig SchedulerConfig::for_class(const std::string& new_class_name) const {
  Json json = to_json();
  json["_class_name"] = defaults(new_class_name).class_name;
  return from_json(json);
}

}  // namespace sara
