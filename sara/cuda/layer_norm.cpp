// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/layer_norm.cuh"

#include "sara/cuda/arguments.h"
#include "sara/cuda/functions.h"

namespace sara::cuda {

void layer_norm(const torch::Tensor& y, const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                std::optional<double> eps) {
  const int64_t channels = x.size(-1), tokens = x.numel() / channels;
  float *middle = numbers_of<float>(mean, tokens), *scale = numbers_of<float>(rstd, tokens);
  for_number(x.scalar_type(), [&]<class T>() {
    const T* from = numbers_of<T>(x, x.numel());
    if (eps) queue(TokenStatistics<T>{middle, scale, from, channels, static_cast<float>(*eps)}, tokens, x);
    const LayerNormApply<T> apply{numbers_of<T>(y, x.numel()), from, middle, scale, numbers_of<float>(weight, channels), numbers_of<float>(bias, channels), channels};
    queue(apply, tokens, x);
  });
}

torch::Tensor layer_norm_backward(const torch::Tensor& out, const torch::Tensor& gradient, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd,
                                  const torch::Tensor& weight, const torch::Tensor& add) {
  const int64_t channels = x.size(-1), tokens = x.numel() / channels;
  const float *middle = numbers_of<float>(mean, tokens), *scale = numbers_of<float>(rstd, tokens);
  torch::Tensor parts;
  for_number(x.scalar_type(), [&]<class T>() {
    const T *given = numbers_of<T>(gradient, x.numel()), *from = numbers_of<T>(x, x.numel());
    const LayerNormInputGradient<T> of_input{numbers_of<T>(out, x.numel()), given, from, add.defined() ? numbers_of<T>(add, x.numel()) : nullptr, middle, scale,
                                             numbers_of<float>(weight, channels), channels};
    queue(of_input, tokens, x);
    const int64_t chunks = blocks_for(tokens, LayerNormColumnSums<T>::kTokens);
    parts = torch::empty({2, chunks, channels}, mean.options());
    auto* const of_weight = parts.data_ptr<float>();
    queue(LayerNormColumnSums<T>{of_weight, of_weight + chunks * channels, given, from, middle, scale, tokens, channels},
           chunks * LayerNormColumnSums<T>::blocks_across(channels), x);
  });
  return parts.sum(1);
}

}  // namespace sara::cuda
