// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/geglu.cuh"

#include "sara/cuda/arguments.h"
#include "sara/cuda/functions.h"

namespace sara::cuda {

void geglu(const torch::Tensor& out, const torch::Tensor& halves) {
  const int64_t width = halves.size(-1) / 2, tokens = halves.numel() / halves.size(-1);
  for_number(halves.scalar_type(), [&]<class T>() {
    queue(Geglu<T>{numbers_of<T>(out, tokens * width), numbers_of<T>(halves, 2 * tokens * width), width}, tokens * Geglu<T>::blocks_across(width), halves);
  });
}

void geglu_backward(const torch::Tensor& out, const torch::Tensor& product, const torch::Tensor& gradient, const torch::Tensor& halves) {
  const int64_t width = halves.size(-1) / 2, tokens = halves.numel() / halves.size(-1);
  for_number(halves.scalar_type(), [&]<class T>() {
    const GegluBackward<T> kernel{numbers_of<T>(out, 2 * tokens * width), numbers_of<T>(product, tokens * width), numbers_of<T>(gradient, tokens * width),
                                  numbers_of<T>(halves, 2 * tokens * width), width};
    queue(kernel, tokens * Geglu<T>::blocks_across(width), halves);
  });
}

}  // namespace sara::cuda
