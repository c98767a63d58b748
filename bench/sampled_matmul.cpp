// SPDX-License-Identifier: Apache-2.0
// Up to which density are single dot products faster than a dense weight gradient and a gather?
//   build/bench/sampled_matmul [THREADS = 2] [REPEATS = 5]
// Layers of Stable Diffusion 1.5 at 256 px, batch 4, fp32 and bf16, random masks; the two ways in turn, A B A B; medians in ms.
#include <ATen/Parallel.h>
#include <torch/types.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "bench/timing.h"
#include "sara/ops/sampled_convolution.h"
#include "sara/ops/sampled_linear.h"
#include "sara/sparse/gather_scatter.h"

namespace {

struct Layer {
  const char* name;
  int64_t out, in, side, kernel;  // kernel 0: a linear layer
};

constexpr Layer kLayers[] = {{"to_q 320", 320, 320, 32, 0},      {"ff 320", 2560, 320, 32, 0},      {"ff out 640", 640, 2560, 16, 0}, {"ff 1280", 10240, 1280, 8, 0},
                             {"conv 320 at 32", 320, 320, 32, 3}, {"conv 640 at 16", 640, 640, 16, 3}, {"conv 1280 at 8", 1280, 1280, 8, 3}, {"conv 2560 at 4", 1280, 2560, 4, 3}};
constexpr double kDensities[] = {0.005, 0.03, 0.06, 0.12, 0.2, 0.3};
constexpr int64_t kBatch = 4;

void compare(const Layer& layer, at::ScalarType dtype, double density, int repeats) {
  const int64_t columns = layer.in * std::max<int64_t>(1, layer.kernel * layer.kernel);
  const torch::Tensor indices = torch::rand({layer.out * columns}).lt(density).nonzero().view(-1).to(torch::kInt), out = torch::zeros({indices.numel()});
  const torch::Tensor starts = torch::searchsorted(indices.to(torch::kLong), torch::arange(0, layer.out + 1) * columns);
  std::shared_ptr<const sara::SampledEntries> kept;  // as between steps
  std::pair<double, double> times;
  if (layer.kernel == 0) {
    const torch::Tensor gradient = torch::randn({kBatch * layer.side * layer.side, layer.out}).to(dtype), input = torch::randn({gradient.size(0), layer.in}).to(dtype);
    times = sara::bench::in_turn(repeats, [&] { sara::sampled_linear_add_({{out, {indices, starts, &kept}, sara::TokenOperand(gradient)}}, sara::TokenOperand(input)); },
                    [&] { sara::gather_add_(out, gradient.t().mm(input), indices); });
  } else {
    const torch::Tensor gradient = torch::randn({kBatch, layer.out, layer.side, layer.side}).to(dtype), input = torch::randn({kBatch, layer.in, layer.side, layer.side}).to(dtype);
    const torch::Tensor weight = torch::randn({layer.out, layer.in, layer.kernel, layer.kernel}).to(dtype);
    const sara::ConvolutionShape shape{layer.kernel, 1, layer.kernel / 2};
    times = sara::bench::in_turn(repeats, [&] { sara::sampled_convolution_add_(out, {indices, starts, &kept}, gradient, input, shape); },
                    [&] {
                      sara::gather_add_(out, std::get<1>(at::convolution_backward(gradient, input, weight, c10::nullopt, {1, 1}, {shape.padding, shape.padding}, {1, 1}, false,
                                                                                  {0, 0}, 1, {false, true, false})),
                                        indices);
                    });
  }
  std::printf("%-16s %-9s %6.1f %12.2f %12.2f %8.2f\n", layer.name, torch::toString(dtype), 100 * density, times.first, times.second, times.first / times.second);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(argc > 1 ? std::atoi(argv[1]) : 2);
  const int repeats = argc > 2 ? std::max(1, std::atoi(argv[2])) : 5;
  std::printf("threads %d, torch %s\n%-16s %-9s %6s %12s %12s %8s\n", at::get_num_threads(), TORCH_VERSION, "layer", "dtype", "%", "sampled ms", "dense ms", "ratio");
  for (const Layer& layer : kLayers)
    for (const auto dtype : {torch::kFloat, torch::kBFloat16})
      for (const double density : kDensities) compare(layer, dtype, density, repeats);
}
