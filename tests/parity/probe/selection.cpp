// SPDX-License-Identifier: Apache-2.0
// Selects from a model of `weights` random bf16 numbers, one tensor of 64 Mi weights standing in its list under many names.
// config: weights, threads, rule, budget. Out: "threshold_seconds", "threshold_extra_bytes" (finding the threshold of the budget),
// "select_seconds", "select_extra_bytes" (the whole selection, its mask among them), "selected", "model_bytes".
#include "sara/sparse/selection.h"

#include <ATen/Parallel.h>

#include <chrono>

#include "sara/sparse/scope.h"
#include "sara/sparse/threshold.h"
#include "sara/train/process_memory.h"
#include "tests/parity/probe/probe.h"

namespace {

struct Cost {
  double seconds, extra_bytes;
};

template <class Work>
Cost cost_of(Work work) {
  const auto before = sara::peak_resident_bytes();
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  return {seconds.count(), static_cast<double>(sara::peak_resident_bytes() - before)};
}

}  // namespace

SARA_PROBE(selection) {
  at::set_num_threads(in.config.at("threads"));
  constexpr int64_t kPiece = int64_t{1} << 26;
  const int64_t weights = in.config.at("weights");
  const torch::Tensor piece = torch::empty({std::min(weights, kPiece)}, torch::kBFloat16).normal_(0, 0.05);
  sara::NamedTensors scope;
  for (int64_t begin = 0; begin < weights; begin += kPiece)
    scope.emplace_back("piece." + std::to_string(scope.size()), piece.narrow(0, 0, std::min(kPiece, weights - begin)));
  const std::string rule = in.config.at("rule"), budget = in.config.at("budget");
  const Cost threshold = cost_of([&] { sara::threshold_for_count(scope, sara::parse_budget(budget, weights)); });
  sara::Selection selection;
  const Cost whole = cost_of([&] { selection = sara::select(scope, {.budget = budget, .rule = rule, .seed = 1}); });
  const auto number = [](double value) { return torch::tensor({value}, torch::kDouble); };
  out["threshold_seconds"] = number(threshold.seconds);
  out["threshold_extra_bytes"] = number(threshold.extra_bytes);
  out["select_seconds"] = number(whole.seconds);
  out["select_extra_bytes"] = number(whole.extra_bytes);
  out["selected"] = number(static_cast<double>(selection.selected));
  out["model_bytes"] = number(static_cast<double>(2 * sara::weight_count(scope)));
}
