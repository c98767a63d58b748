// SPDX-License-Identifier: Apache-2.0
// Which way to the polar factor is faster for each matrix of Stable Diffusion 1.5's and mini-sd's denoisers, and what does one step of the
// rank loss cost? By matrix products alone, by Gram matrix and eigendecomposition, and by these at the entries alone.
//   build/bench/rank_loss [THREADS = 1] [REPEATS = 3]
// Random matrices with 6 % of the entries set; the three ways in turn, A B C A B C; medians in ms. The last lines are the cost on SD 1.5 of
// rank_mode = one (the mean over the scope) and of all (the sum), for rank_layers = linear, by each of the three ways.
#include <ATen/Parallel.h>
#include <torch/types.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "bench/timing.h"
#include "sara/rank/polar_express.h"
#include "sara/rank/polar_factor.h"
#include "sara/sparse/gather_scatter.h"

namespace {

struct Shape {
  int64_t rows, columns, count;  // count: how often SD 1.5 has it among its linear layers
};

constexpr Shape kShapes[] = {{64, 64, 0},      {128, 128, 0},    {224, 224, 0},    {64, 192, 0},       {224, 896, 0},     {320, 320, 30},   {320, 768, 10},
                             {320, 1280, 10},  {2560, 320, 5},   {1280, 320, 1},   {448, 448, 0},      {512, 512, 0},     {640, 640, 30},   {640, 768, 10},
                             {640, 1280, 5},   {640, 2560, 5},   {5120, 640, 5},   {1280, 768, 12},    {1280, 1280, 49},  {1280, 5120, 6},  {10240, 1280, 6}};

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(argc > 1 ? std::atoi(argv[1]) : 1);
  const int repeats = argc > 2 ? std::max(1, std::atoi(argv[2])) : 3;
  std::printf("threads %d, torch %s\n%6s %7s %12s %12s %12s\n", at::get_num_threads(), TORCH_VERSION, "rows", "columns", "express ms", "gram ms", "entries ms");
  double by_express = 0, by_gram = 0, by_entries = 0;
  int64_t matrices = 0;
  for (const auto& [rows, columns, count] : kShapes) {
    const torch::Tensor matrix = torch::randn({rows, columns}) * torch::rand({rows, columns}).lt(0.06) * 1e-3;
    const torch::Tensor indices = matrix.view(-1).nonzero().view(-1).to(torch::kInt), values = sara::gather(matrix, indices);
    std::vector<double> express, gram, entries;
    for (int i = -1; i < repeats; ++i) {  // the first round warms up
      const double a = sara::bench::milliseconds([&] { sara::polar_express(matrix); }), b = sara::bench::milliseconds([&] { sara::polar_factor_by_gram(matrix); });
      const double c = sara::bench::milliseconds([&] { sara::polar_entries(values, indices, rows, columns); });
      if (i < 0 && rows * columns < 1000000) continue;
      express.push_back(a);
      gram.push_back(b);
      entries.push_back(c);
    }
    std::printf("%6ld %7ld %12.2f %12.2f %12.2f\n", rows, columns, sara::bench::median(express), sara::bench::median(gram), sara::bench::median(entries));
    std::fflush(stdout);
    by_express += static_cast<double>(count) * sara::bench::median(express);
    by_gram += static_cast<double>(count) * sara::bench::median(gram);
    by_entries += static_cast<double>(count) * sara::bench::median(entries);
    matrices += count;
  }
  for (const auto& [name, sum] : {std::pair{"express", by_express}, {"gram", by_gram}, {"entries", by_entries}})
    std::printf("SD 1.5, %ld linear matrices, by %s: one %.1f ms a step, all %.0f ms a step\n", matrices, name, sum / static_cast<double>(matrices), sum);
}
