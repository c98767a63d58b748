// SPDX-License-Identifier: Apache-2.0
#include "sara/distributed/compact_all_reduce.h"

#include <torch/utils.h>

#include <utility>

#include "sara/base/message.h"

namespace sara {
namespace {

void mean_of_packed_(ProcessGroup& group, const std::vector<torch::Tensor>& pack, int64_t weights) {
  if (pack.empty()) return;
  torch::Tensor flat = torch::empty({weights}, pack.front().options().dtype(torch::kFloat));
  int64_t begin = 0;
  const auto piece = [&](const torch::Tensor& tensor) { return flat.narrow(0, std::exchange(begin, begin + tensor.numel()), tensor.numel()).view(tensor.sizes()); };
  for (const auto& tensor : pack) piece(tensor).copy_(tensor);
  group.sum_(flat, "averaging gradients");
  flat.div_(static_cast<double>(group.size()));
  begin = 0;
  for (const auto& tensor : pack) tensor.copy_(piece(tensor));
}

}  // namespace

void compact_all_reduce_(ProcessGroup& group, const std::vector<torch::Tensor>& gradients) {
  if (group.size() == 1) return;
  const torch::NoGradGuard no_grad;
  std::string shapes;
  for (const auto& tensor : gradients) shapes += message(tensor.numel(), ",");
  group.require_same(shapes, "the shape of the gradient", "give all processes the same model and options");
  std::vector<torch::Tensor> pack;
  int64_t weights = 0;
  const auto send = [&] {
    mean_of_packed_(group, pack, std::exchange(weights, 0));
    pack.clear();
  };
  for (torch::Tensor tensor : gradients) {
    if (tensor.numel() == 0) continue;
    if (tensor.scalar_type() == torch::kFloat && tensor.is_contiguous() && tensor.numel() >= kPackedWeights / 64) {
      group.sum_(tensor, "averaging gradients");
      tensor.div_(static_cast<double>(group.size()));
      continue;
    }
    if (weights + tensor.numel() > kPackedWeights) send();
    pack.push_back(tensor);
    weights += tensor.numel();
  }
  send();
}

}  // namespace sara
