// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/grad_clip.h"

#include <ATen/Parallel.h>
#include <ATen/ops/linalg_vector_norm.h>

#include <cmath>

namespace sara {
namespace {

double sum_of_squares(const torch::Tensor& tensor) {
  if (!tensor.is_cpu() || tensor.scalar_type() != torch::kFloat)
    return std::pow(at::linalg_vector_norm(tensor, 2, std::nullopt, false, torch::kDouble).item<double>(), 2);
  constexpr int64_t kChunk = 1 << 15;
  const torch::Tensor flat = tensor.contiguous();
  const float* data = flat.const_data_ptr<float>();
  std::vector<double> sums((flat.numel() + kChunk - 1) / kChunk);
  at::parallel_for(0, static_cast<int64_t>(sums.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const int64_t end = std::min(flat.numel(), (chunk + 1) * kChunk);
      double lanes[4] = {};  // independent sums, so that one addition need not wait for the last
      int64_t i = chunk * kChunk;
      for (; i + 4 <= end; i += 4)
        for (int lane = 0; lane < 4; ++lane) lanes[lane] += static_cast<double>(data[i + lane]) * data[i + lane];
      for (; i < end; ++i) lanes[0] += static_cast<double>(data[i]) * data[i];
      sums[chunk] = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
    }
  });
  double sum = 0;
  for (const double part : sums) sum += part;
  return sum;
}

}  // namespace

double global_norm(at::TensorList tensors) {
  double sum = 0;
  for (const torch::Tensor& tensor : tensors) sum += sum_of_squares(tensor);
  return std::sqrt(sum);
}

double clip_factor(double norm, double max_norm) { return max_norm > 0 && norm > max_norm ? max_norm / norm : 1; }

}  // namespace sara
