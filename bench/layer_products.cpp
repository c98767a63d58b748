// SPDX-License-Identifier: Apache-2.0
// The two products of convolutions and linear layers beside torch's: where does Winograd's algorithm win, where do fp32 registers for bf16?
//   build/bench/layer_products [THREADS = 2] [REPEATS = 7]
// Layers of Stable Diffusion 1.5 at 256 px, fp32 and bf16; the two ways in turn, A B A B; medians in ms, GFLOP/s of the definition's products.
#include <ATen/Parallel.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/types.h>
#include <torch/version.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "bench/timing.h"
#include "sara/base/tensor_memory.h"
#include "sara/ops/convolution.h"
#include "sara/ops/matrix_product.h"

namespace {

struct Convolution {
  int64_t batch, side, in, out;
};

struct Linear {
  int64_t tokens, in, out;
};

constexpr Convolution kConvolutions[] = {{4, 32, 320, 320}, {4, 32, 960, 320},   {4, 16, 640, 640},   {4, 16, 1920, 640}, {4, 8, 1280, 1280},
                                         {4, 8, 2560, 1280}, {4, 4, 1280, 1280}, {1, 32, 320, 320}, {1, 16, 640, 640}, {1, 8, 1280, 1280}};
constexpr Linear kLinears[] = {{4096, 320, 320}, {4096, 320, 2560}, {4096, 1280, 320}, {1024, 640, 640}, {1024, 640, 5120}, {256, 1280, 1280}, {256, 1280, 10240}, {256, 5120, 1280}, {64, 1280, 1280}};

void print(const std::string& name, at::ScalarType dtype, const char* pass, std::pair<double, double> times, double gigaflops) {
  std::printf("%-28s %-9s %-15s %8.2f ms %8.2f ms, ratio %.2f, %4.0f GFLOP/s\n", name.c_str(), torch::toString(dtype), pass, times.first, times.second, times.first / times.second,
              gigaflops / times.first * 1e3);
  std::fflush(stdout);
}

void compare(const Convolution& c, at::ScalarType dtype, int repeats) {
  const torch::Tensor x = torch::randn({c.batch, c.in, c.side, c.side}).to(dtype), weight = (torch::randn({c.out, c.in, 3, 3}) * 0.02).to(dtype), bias = torch::zeros({c.out}).to(dtype);
  const torch::Tensor gradient = torch::randn({c.batch, c.out, c.side, c.side}).to(dtype);
  const std::string name = "convolution " + std::to_string(c.batch) + " x " + std::to_string(c.in) + " -> " + std::to_string(c.out) + ", " + std::to_string(c.side);
  const double gigaflops = 18e-9 * double(c.batch * c.side * c.side * c.in * c.out);
  print(name, dtype, "forward", sara::bench::in_turn(repeats, [&] { sara::convolution(x, weight, bias, {}); }, [&] { at::conv2d(x, weight, bias, {1, 1}, {1, 1}); }), gigaflops);
  print(name, dtype, "input gradient",
        sara::bench::in_turn(repeats, [&] { sara::convolution_input_gradient(gradient, weight, x.sizes(), {}); },
                             [&] { at::convolution_backward(gradient, x, weight, c10::nullopt, {1, 1}, {1, 1}, {1, 1}, false, {0, 0}, 1, {true, false, false}); }),
        gigaflops);
}

void compare(const Linear& l, at::ScalarType dtype, int repeats) {
  const torch::Tensor x = torch::randn({l.tokens, l.in}).to(dtype), weight = torch::randn({l.out, l.in}).to(dtype), gradient = torch::randn({l.tokens, l.out}).to(dtype);
  const std::string name = "linear " + std::to_string(l.tokens) + " x " + std::to_string(l.in) + " -> " + std::to_string(l.out);
  const double gigaflops = 2e-9 * double(l.tokens * l.in * l.out);
  print(name, dtype, "forward", sara::bench::in_turn(repeats, [&] { sara::product_with_transposed(x, weight); }, [&] { at::linear(x, weight); }), gigaflops);
  print(name, dtype, "input gradient", sara::bench::in_turn(repeats, [&] { sara::product_with(gradient, weight); }, [&] { at::mm(gradient, weight); }), gigaflops);
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(argc > 1 ? std::atoi(argv[1]) : 2);
  const int repeats = argc > 2 ? std::max(1, std::atoi(argv[2])) : 7;
  const c10::InferenceMode no_gradients;
  sara::pool_tensor_memory();
  std::printf("threads %d, torch %s; ours, torch's\n", at::get_num_threads(), TORCH_VERSION);
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    for (const Convolution& convolution : kConvolutions) compare(convolution, dtype, repeats);
    for (const Linear& linear : kLinears) compare(linear, dtype, repeats);
  }
}
