// SPDX-License-Identifier: Apache-2.0
// Attention by heads beside torch's flash attention for CPUs, forward and backward.
//   build/bench/attention [THREADS = 2] [REPEATS = 9]
// Layers of Stable Diffusion 1.5 at 256 px, batch 4, fp32 and bf16; the two ways in turn, A B A B; medians in ms.
#include <ATen/Parallel.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <torch/types.h>
#include <torch/version.h>

#include <cstdio>
#include <cstdlib>

#include "bench/timing.h"
#include "sara/ops/attend.h"

namespace {

struct Layer {
  const char* name;
  int64_t queries, keys, channels;
};

constexpr Layer kLayers[] = {{"self 32x32", 1024, 1024, 320}, {"self 16x16", 256, 256, 640}, {"self 8x8", 64, 64, 1280},
                             {"text 32x32", 1024, 77, 320},   {"text 16x16", 256, 77, 640}};
constexpr int64_t kBatch = 4, kHeads = 8;

void compare(const Layer& layer, at::ScalarType dtype, int repeats) {
  const auto tokens = [&](int64_t count) { return torch::randn({kBatch, count, layer.channels}).to(dtype); };
  const torch::Tensor q = tokens(layer.queries), k = tokens(layer.keys), v = tokens(layer.keys), gradient = tokens(layer.queries);
  const auto apart = [](const torch::Tensor& x) { return x.unflatten(2, {kHeads, -1}).transpose(1, 2); };
  const auto flash = [&] { return at::_scaled_dot_product_flash_attention_for_cpu(apart(q), apart(k), apart(v)); };
  const auto ours = sara::attend(q, k, v, kHeads);
  const auto theirs = flash();
  const auto forward = sara::bench::in_turn(repeats, [&] { sara::attend(q, k, v, kHeads); }, flash);
  const auto backward = sara::bench::in_turn(repeats, [&] { sara::attend_backward(gradient, q, k, v, ours, kHeads); }, [&] {
    at::_scaled_dot_product_flash_attention_for_cpu_backward(apart(gradient), apart(q), apart(k), apart(v), std::get<0>(theirs), std::get<1>(theirs), 0.0, false);
  });
  const double gigaflops = 4e-9 * double(kBatch * layer.queries * layer.keys * layer.channels);
  std::printf("%-12s %-5s forward %7.2f ms (torch %7.2f, ratio %.2f, %4.0f GFLOP/s)  backward %7.2f ms (torch %7.2f, ratio %.2f, %4.0f GFLOP/s)\n", layer.name,
              dtype == torch::kFloat ? "fp32" : "bf16", forward.first, forward.second, forward.first / forward.second, gigaflops / forward.first * 1e3, backward.first,
              backward.second, backward.first / backward.second, 2.5 * gigaflops / backward.first * 1e3);
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(argc > 1 ? std::atoi(argv[1]) : 2);
  const int repeats = argc > 2 ? std::atoi(argv[2]) : 9;
  std::printf("torch %s, %d threads, median of %d\n", TORCH_VERSION, at::get_num_threads(), repeats);
  torch::manual_seed(0);
  for (const auto dtype : {torch::kFloat, torch::kBFloat16})
    for (const auto& layer : kLayers) compare(layer, dtype, repeats);
}
