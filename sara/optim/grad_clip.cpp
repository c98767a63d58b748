// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/grad_clip.h"

#include <ATen/Parallel.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>

#include "sara/ops/vector_kernels.h"

namespace sara {
namespace {

constexpr int64_t kChunk = 1 << 15;

bool is_plain(const torch::Tensor& tensor) { return tensor.is_cpu() && tensor.scalar_type() == torch::kFloat && tensor.is_contiguous(); }

struct Chunk {
  size_t tensor;
  const float* from;
  int64_t count;
};

}  // namespace

std::vector<double> squared_norms(at::TensorList tensors) {
  std::vector<double> out(tensors.size());
  std::vector<Chunk> chunks;
  std::vector<torch::Tensor> others;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!is_plain(tensors[i])) {
      others.push_back(tensors[i]);
      continue;
    }
    const float* data = tensors[i].const_data_ptr<float>();
    for (int64_t begin = 0; begin < tensors[i].numel(); begin += kChunk) chunks.push_back({i, data + begin, std::min(kChunk, tensors[i].numel() - begin)});
  }
  std::vector<double> sums(chunks.size());
  at::parallel_for(0, static_cast<int64_t>(chunks.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk) sums[chunk] = sum_of_squares(chunks[chunk].from, chunks[chunk].count);
  });
  for (size_t i = 0; i < chunks.size(); ++i) out[chunks[i].tensor] += sums[i];
  if (others.empty()) return out;
  const torch::Tensor norms = at::stack(at::_foreach_norm(others, 2, torch::kDouble)).cpu();
  for (size_t i = 0, other = 0; i < tensors.size(); ++i)
    if (!is_plain(tensors[i])) out[i] = std::pow(norms[static_cast<int64_t>(other++)].item<double>(), 2);
  return out;
}

double global_norm(at::TensorList tensors) {
  double sum = 0;
  for (const double squares : squared_norms(tensors)) sum += squares;
  return std::sqrt(sum);
}

double clip_factor(double norm, double max_norm) { return max_norm > 0 && norm > max_norm ? max_norm / norm : 1; }

}  // namespace sara
