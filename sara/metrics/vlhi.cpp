// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/vlhi.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr ScoreKind kKinds[] = {{"fid", true}, {"fd_clip", true}, {"clip", false}, {"clip_t", false}, {"clip_i", false}, {"b_vqa", false}};
constexpr const char* kKindNames = "fid, fd_clip, clip, clip_t, clip_i, b_vqa";

std::vector<const ScoreKind*> kinds_of(const Json& method) {
  std::vector<const ScoreKind*> found;
  for (const auto& kind : kKinds)
    if (method.contains(kind.name)) found.push_back(&kind);
  return found;
}

VlhiGroup::Method method_of(const Json& json, const std::array<const ScoreKind*, 2>& kinds, const std::string& source) {
  VlhiGroup::Method method{json["name"].get<std::string>(), {}};
  const std::string what = "method " + escaped(method.name);
  for (const auto& [key, value] : json.items()) {
    if (key == "name") continue;
    if (std::ranges::none_of(kKinds, [&](const ScoreKind& kind) { return key == kind.name; }))
      throw BadFile(source, message(what, " has the unknown key ", escaped(key), " (expected name and two of ", kKindNames, ")"));
    if (!value.is_number() || !std::isfinite(value.get<double>()))
      throw BadFile(source, message(what, ": ", key, " is not a finite number (got ", escaped(value.dump()), ")"));
  }
  const auto found = kinds_of(json);
  if (found.size() != 2 || !std::ranges::equal(found, kinds))
    throw BadFile(source, message(what, " does not have the scores of the first method (expected ", kinds[0]->name, " and ", kinds[1]->name,
                                  ", got ", found.size(), " scores). Fix: give every method of a group the same two"));
  for (size_t i = 0; i < 2; ++i) method.scores[i] = json[kinds[i]->name].get<double>();
  return method;
}

}  // namespace

VlhiGroup vlhi_group(const Json& json, const std::string& source) {
  if (!json.is_object()) throw BadFile(source, "is not an object with the keys group and methods");
  for (const auto& [key, value] : json.items())
    if (key != "group" && key != "methods") throw BadFile(source, message("unknown key ", escaped(key), " (expected group and methods)"));
  const Json name = json.value("group", Json()), methods = json.value("methods", Json());
  if (!name.is_string() || name.get<std::string>().empty())
    throw BadFile(source, "group is missing. Fix: say what is compared, as in group = \"SD 1.5, Barbie\"");
  if (!methods.is_array() || methods.empty())
    throw BadFile(source, "methods is missing (expected a list of objects with name and two scores, such as fid and clip)");
  std::set<std::string> seen;
  for (const auto& method : methods) {
    const Json called = method.is_object() ? method.value("name", Json()) : Json();
    if (!called.is_string()) throw BadFile(source, "a method has no name (expected an object with name and two scores)");
    if (!seen.insert(called.get<std::string>()).second)
      throw BadFile(source, message("method ", escaped(called.get<std::string>()), " is there twice. Fix: give each method of the group its own name"));
  }
  const auto kinds = kinds_of(methods[0]);
  if (kinds.size() != 2)
    throw BadFile(source, message("method ", escaped(methods[0]["name"].get<std::string>()), " has ", kinds.size(), " scores (expected two of ", kKindNames, ")"));
  VlhiGroup group{name.get<std::string>(), {kinds[0], kinds[1]}, {}};
  for (const auto& method : methods) group.methods.push_back(method_of(method, group.kinds, source));
  return group;
}

Vlhi vlhi(const VlhiGroup& group) {
  const auto& methods = group.methods;
  if (methods.size() < 2)
    throw InvalidArgument(message("group ", escaped(group.name), ": VLHI compares methods (expected two or more, got ", methods.size(), "). Fix: add the others"));
  Vlhi out{{}, std::vector<double>(methods.size(), 0.0)};
  for (size_t i = 0; i < 2; ++i) {
    const auto [low, high] = std::ranges::minmax_element(methods, {}, [&](const auto& method) { return method.scores[i]; });
    const double least = low->scores[i], most = high->scores[i];
    if (least == most)
      throw InvalidArgument(message("group ", escaped(group.name), ": ", group.kinds[i]->name, " is ", least,
                                    " for every method, so VLHI is not defined. Fix: compare methods that differ"));
    out.ranges[i] = {least, most, low->name, high->name};
    for (size_t k = 0; k < methods.size(); ++k) {
      const double above = (methods[k].scores[i] - least) / (most - least);
      out.values[k] += group.kinds[i]->lower_is_better ? 1 - above : above;
    }
  }
  return out;
}

}  // namespace sara
