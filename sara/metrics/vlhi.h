// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <vector>

#include "sara/files/json.h"

namespace sara {

// A score that VLHI can take. "fid" and "fd_clip" (distances) are better when low; "clip", "clip_t", "clip_i" and "b_vqa" when high.
struct ScoreKind {
  const char* name;
  bool lower_is_better;
};

// The methods that are compared with one another: those of one model version on one data set. Every VLHI depends on all of
// them, so a value means nothing without its group.
struct VlhiGroup {
  struct Method {
    std::string name;
    std::array<double, 2> scores;
  };
  std::string name;
  std::array<const ScoreKind*, 2> kinds;
  std::vector<Method> methods;
};

// {"group": "SD 1.5, Barbie", "methods": [{"name": "SaRA 50M", "fid": 148.54, "clip": 28.6}, ...]}: every method has the same
// two scores. `source` names it in errors. Throws BadFile.
VlhiGroup vlhi_group(const Json& json, const std::string& source);

struct ScoreRange {
  double lowest, highest;
  std::string lowest_method, highest_method;
};

struct Vlhi {
  std::array<ScoreRange, 2> ranges;
  std::vector<double> values;  // one a method, 0 (worst in both scores) to 2 (best in both)
};

// Visual-Linguistic Harmony Index (Eq. 9 of the paper): with both scores min-max normalised over the group,
//   VLHI_i = (max FID - FID_i) / (max FID - min FID) + (CLIP_i - min CLIP) / (max CLIP - min CLIP),
// and likewise for another pair, each term 1 for the best method and 0 for the worst.
// Throws InvalidArgument for fewer than two methods and for a score that is equal for all.
Vlhi vlhi(const VlhiGroup& group);

}  // namespace sara
