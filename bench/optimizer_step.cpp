// SPDX-License-Identifier: Apache-2.0
// Is the optimizer's step faster as one pass over memory than as a pass each for AdamW, scatter and clearing?
//   build/bench/optimizer_step [THREADS = 1] [REPEATS = 5] [DENSE = 860000000] [SELECTED = 50000000]
// Random weights in tensors of 20 M and random masks; the ways in turn, A B A B; medians in ms. Both start from the same
// gradient and end with weights written and gradient zero; the norm, which clipping needs before, is a pass of its own. The last column is
// one pass with 8-bit moments.
#include <ATen/Parallel.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <torch/version.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "bench/timing.h"
#include "sara/ops/adamw_pass.h"
#include "sara/optim/grad_clip.h"
#include "sara/sparse/values.h"

namespace {

sara::Mask random_mask(int64_t weights, double share, at::ScalarType dtype) {
  constexpr int64_t kTensor = 20'000'000;
  sara::Mask mask;
  for (int64_t first = 0; first < weights; first += kTensor) {
    const int64_t count = std::min(kTensor, weights - first);
    const torch::Tensor weight = (torch::randn({count}) * 1e-2).to(dtype);
    mask.push_back({"w" + std::to_string(mask.size()), weight, torch::rand({count}).lt(share).nonzero().view(-1).to(torch::kInt)});
  }
  return mask;
}

// The way that one pass replaced: an entry at a time, each rounding as in ops/adamw_step.h.
void plain_loop(const sara::Values& values, const sara::AdamWFactors& f) {
  float *p = values.values().data_ptr<float>(), *m = values.exp_avg().data_ptr<float>(), *v = values.exp_avg_sq().data_ptr<float>();
  const float* g = values.gradient().const_data_ptr<float>();
  at::parallel_for(0, values.active(), 1 << 15, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float gradient = g[i] * f.scale, decayed = p[i] * f.keep;
      m[i] += f.blend1 * (gradient - m[i]);
      v[i] = v[i] * f.beta2 + f.blend2 * gradient * gradient;
      p[i] = decayed - f.step_size * m[i] / (std::sqrt(v[i]) / f.root + f.eps);
    }
  });
}

void compare(at::ScalarType dtype, int64_t weights, int64_t selected, int repeats) {
  const torch::NoGradGuard no_grad;
  const sara::Mask mask = random_mask(weights, static_cast<double>(selected) / static_cast<double>(weights), dtype);
  const sara::Values values(mask), bytes(mask, 1, /*eight_bit_moments=*/true);
  const torch::Tensor gradient = torch::randn_like(values.values()) * 1e-4;
  std::vector<sara::PassSlot> slots;
  for (size_t i = 0; i < values.slots().size(); ++i) slots.push_back({i});
  const sara::AdamWStep settings{.lr = 1e-4, .step = 10};
  std::vector<double> norm, separate, loop, scatter, clear, one, eight_bit;
  for (int i = -1; i < repeats; ++i) {  // the first round warms up
    values.gradient().copy_(gradient);
    const double n = sara::bench::milliseconds([&] { sara::global_norm(values.gradient()); });
    const double a = sara::bench::milliseconds([&] { plain_loop(values, sara::adamw_factors(settings)); });
    const double b = sara::bench::milliseconds([&] { values.scatter_(); });
    const double c = sara::bench::milliseconds([&] { values.gradient().zero_(); });
    values.gradient().copy_(gradient);
    const double d = sara::bench::milliseconds([&] { sara::adamw_pass_(values, slots, {settings}, false); });
    bytes.gradient().copy_(gradient);
    const double e = sara::bench::milliseconds([&] { sara::adamw_pass_(bytes, slots, {settings}, false); });
    if (i < 0) continue;
    eight_bit.push_back(e);
    norm.push_back(n);
    loop.push_back(a);
    scatter.push_back(b);
    clear.push_back(c);
    separate.push_back(a + b + c);
    one.push_back(d);
  }
  std::printf("%-9s %9.0f %9.0f = %5.0f + %5.0f + %5.0f %9.0f %6.2f %6.0f\n", toString(dtype), sara::bench::median(norm), sara::bench::median(separate), sara::bench::median(loop), sara::bench::median(scatter), sara::bench::median(clear),
              sara::bench::median(one), sara::bench::median(one) / sara::bench::median(separate), sara::bench::median(eight_bit));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(argc > 1 ? std::atoi(argv[1]) : 1);
  const int repeats = argc > 2 ? std::max(1, std::atoi(argv[2])) : 5;
  const int64_t weights = argc > 3 ? std::atoll(argv[3]) : 860'000'000, selected = argc > 4 ? std::atoll(argv[4]) : 50'000'000;
  std::printf("%ld of %ld weights, threads %d, torch %s, medians in ms\n%-9s %9s %9s = %5s + %5s + %5s %9s %6s %6s\n", selected, weights, at::get_num_threads(), TORCH_VERSION,
              "weights", "norm", "separate", "adamw", "scat.", "clear", "one pass", "ratio", "8-bit");
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf}) compare(dtype, weights, selected, repeats);
}
