// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/gradient_norm.cuh"

#include "sara/cuda/arguments.h"
#include "sara/cuda/functions.h"

namespace sara::cuda {

torch::Tensor norm_and_clip(at::TensorList tensors, double max_norm) {
  SARA_CHECK(!tensors.empty());
  int64_t chunks = 0;
  for (const torch::Tensor& tensor : tensors) chunks += blocks_for(tensor.numel(), SquaresOfChunks::kChunk);
  const auto options = tensors.front().options().dtype(torch::kDouble);
  const torch::Tensor sums = torch::empty({chunks}, options), result = torch::empty({2}, options);
  double* at = sums.data_ptr<double>();
  for (const torch::Tensor& tensor : tensors) {
    const int64_t blocks = blocks_for(tensor.numel(), SquaresOfChunks::kChunk);
    queue(SquaresOfChunks{at, numbers_of<float>(tensor, tensor.numel()), tensor.numel()}, blocks, result);
    at += blocks;
  }
  queue(NormAndClip{result.data_ptr<double>(), sums.const_data_ptr<double>(), chunks, max_norm}, 1, result);
  return result;
}

}  // namespace sara::cuda
