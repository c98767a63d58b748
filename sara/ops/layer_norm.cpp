// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/layer_norm.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cmath>

#include "sara/cuda/kernels.h"
#include "sara/ops/vectorized.h"

namespace sara {
namespace {

constexpr int64_t kTokenGrain = 32;

template <class T>
SARA_INLINE void token_statistics(float* mean, float* rstd, const T* x, int64_t channels, float eps) {
  float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < channels; ++c) sum += load(x + c);
  const float middle = sum / static_cast<float>(channels);
#pragma omp simd reduction(+ : squares)
  for (int64_t c = 0; c < channels; ++c) squares += (load(x + c) - middle) * (load(x + c) - middle);
  *mean = middle;
  *rstd = 1.0f / __builtin_sqrtf(squares / static_cast<float>(channels) + eps);
}

template <class T>
SARA_INLINE void token_value(T* y, const T* x, float mean, float rstd, const float* weight, const float* bias, int64_t channels) {
#pragma omp simd
  for (int64_t c = 0; c < channels; ++c) store(y + c, (load(x + c) - mean) * rstd * weight[c] + bias[c]);
}

template <class T>
SARA_INLINE void token_gradient(T* out, float* weight_sums, float* bias_sums, const T* gradient, const T* x, const T* add, float mean, float rstd,
                                const float* weight, int64_t channels) {
  float sum = 0, product = 0;
#pragma omp simd reduction(+ : sum, product)
  for (int64_t c = 0; c < channels; ++c) {
    const float g = load(gradient + c), unit = (load(x + c) - mean) * rstd, inner = g * weight[c];
    weight_sums[c] += g * unit;
    bias_sums[c] += g;
    sum += inner;
    product += inner * unit;
  }
  sum /= static_cast<float>(channels);
  product /= static_cast<float>(channels);
  if (add) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c)
      store(out + c, rstd * (load(gradient + c) * weight[c] - sum - (load(x + c) - mean) * rstd * product) + load(add + c));
  } else {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) store(out + c, rstd * (load(gradient + c) * weight[c] - sum - (load(x + c) - mean) * rstd * product));
  }
}

SARA_VECTORIZED void statistics_f32(float* mean, float* rstd, const float* x, int64_t n, float eps) { token_statistics(mean, rstd, x, n, eps); }
SARA_VECTORIZED void statistics_bf16(float* mean, float* rstd, const bf16_bits* x, int64_t n, float eps) { token_statistics(mean, rstd, x, n, eps); }
SARA_VECTORIZED void value_f32(float* y, const float* x, float mean, float rstd, const float* w, const float* b, int64_t n) { token_value(y, x, mean, rstd, w, b, n); }
SARA_VECTORIZED void value_bf16(bf16_bits* y, const bf16_bits* x, float mean, float rstd, const float* w, const float* b, int64_t n) {
  token_value(y, x, mean, rstd, w, b, n);
}
SARA_VECTORIZED void gradient_f32(float* out, float* ws, float* bs, const float* g, const float* x, const float* add, float mean, float rstd, const float* w, int64_t n) {
  token_gradient(out, ws, bs, g, x, add, mean, rstd, w, n);
}
SARA_VECTORIZED void gradient_bf16(bf16_bits* out, float* ws, float* bs, const bf16_bits* g, const bf16_bits* x, const bf16_bits* add, float mean, float rstd,
                                   const float* w, int64_t n) {
  token_gradient(out, ws, bs, g, x, add, mean, rstd, w, n);
}

template <class T>
struct TokenLoops;
template <>
struct TokenLoops<float> {
  static constexpr auto statistics = statistics_f32;
  static constexpr auto value = value_f32;
  static constexpr auto gradient = gradient_f32;
};
template <>
struct TokenLoops<bf16_bits> {
  static constexpr auto statistics = statistics_bf16;
  static constexpr auto value = value_bf16;
  static constexpr auto gradient = gradient_bf16;
};

// A tensor as these loops take it, and its fp32 parameters.
struct Tokens {
  explicit Tokens(const torch::Tensor& given) : tensor(given.to(loop_dtype(given.scalar_type())).contiguous()), channels(given.size(-1)), count(given.numel() / channels) {}
  bool is_bf16() const { return tensor.scalar_type() == torch::kBFloat16; }
  torch::Tensor tensor;
  int64_t channels, count;
};

torch::Tensor fp32(const torch::Tensor& parameter) { return parameter.detach().to(torch::kFloat).contiguous(); }

template <class T>
void find_values(T* y, float* mean, float* rstd, const T* x, const float* weight, const float* bias, const Tokens& tokens, std::optional<double> eps) {
  at::parallel_for(0, tokens.count, kTokenGrain, [&](int64_t first, int64_t last) {
    for (int64_t t = first; t < last; ++t) {
      if (eps) TokenLoops<T>::statistics(mean + t, rstd + t, x + t * tokens.channels, tokens.channels, static_cast<float>(*eps));
      TokenLoops<T>::value(y + t * tokens.channels, x + t * tokens.channels, mean[t], rstd[t], weight, bias, tokens.channels);
    }
  });
}

torch::Tensor values(const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight, const torch::Tensor& bias, std::optional<double> eps) {
  RECORD_FUNCTION("sara::layer_norm", {});
  const Tokens tokens(x);
  const torch::Tensor out = torch::empty_like(tokens.tensor), scale = fp32(weight), shift = fp32(bias);
  auto *mean = statistics.mean.data_ptr<float>(), *rstd = statistics.rstd.data_ptr<float>();
  if (tokens.is_bf16())
    find_values(mutable_numbers<bf16_bits>(out), mean, rstd, numbers<bf16_bits>(tokens.tensor), scale.const_data_ptr<float>(), shift.const_data_ptr<float>(), tokens, eps);
  else
    find_values(mutable_numbers<float>(out), mean, rstd, numbers<float>(tokens.tensor), scale.const_data_ptr<float>(), shift.const_data_ptr<float>(), tokens, eps);
  return out.to(x.scalar_type());
}

template <class T>
void gradients(T* out, float* weight_sums, float* bias_sums, const T* gradient, const T* x, const T* add, const NormStatistics& statistics, const float* weight,
               const Tokens& tokens, int64_t chunks) {
  const auto *mean = statistics.mean.const_data_ptr<float>(), *rstd = statistics.rstd.const_data_ptr<float>();
  at::parallel_for(0, chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; ++chunk)
      for (int64_t t = tokens.count * chunk / chunks; t < tokens.count * (chunk + 1) / chunks; ++t) {
        const int64_t at = t * tokens.channels;
        TokenLoops<T>::gradient(out + at, weight_sums + chunk * tokens.channels, bias_sums + chunk * tokens.channels, gradient + at, x + at, add ? add + at : nullptr,
                                mean[t], rstd[t], weight, tokens.channels);
      }
  });
}

torch::Tensor values_by(const cuda::Kernels& kernels, const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight, const torch::Tensor& bias,
                        std::optional<double> eps) {
  const torch::Tensor from = x.contiguous(), out = torch::empty_like(from);
  kernels.layer_norm(out, statistics.mean, statistics.rstd, from, fp32(weight), fp32(bias), eps);
  return out;
}

torch::Tensor unit_tokens(const torch::Tensor& x, const NormStatistics& statistics) {
  return (x.to(torch::kFloat) - statistics.mean.unsqueeze(-1)) * statistics.rstd.unsqueeze(-1);
}

}  // namespace

LayerNormResult layer_norm(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, double eps) {
  const auto tokens = x.sizes().slice(0, x.dim() - 1);
  const auto fp32_options = x.options().dtype(torch::kFloat).requires_grad(false);
  if (const auto* kernels = cuda::kernels(x.device())) {
    const NormStatistics statistics{torch::empty(tokens, fp32_options), torch::empty(tokens, fp32_options)};
    return {values_by(*kernels, x, statistics, weight, bias, eps), statistics};
  }
  if (!x.is_cpu()) {
    const torch::Tensor from = x.to(torch::kFloat);
    const NormStatistics statistics{from.mean(-1), (from.var(-1, /*unbiased=*/false) + eps).rsqrt()};
    return {layer_norm_apply(x, statistics, weight, bias), statistics};
  }
  const NormStatistics statistics{torch::empty(tokens, fp32_options), torch::empty(tokens, fp32_options)};
  return {values(x, statistics, weight, bias, eps), statistics};
}

torch::Tensor layer_norm_apply(const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight, const torch::Tensor& bias) {
  if (const auto* kernels = cuda::kernels(x.device())) return values_by(*kernels, x, statistics, weight, bias, std::nullopt);
  if (!x.is_cpu()) return (unit_tokens(x, statistics) * weight.to(torch::kFloat) + bias.to(torch::kFloat)).to(x.scalar_type());
  return values(x, statistics, weight, bias, std::nullopt);
}

NormGradients layer_norm_backward(const torch::Tensor& gradient, const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight,
                                  const torch::Tensor& add) {
  RECORD_FUNCTION("sara::layer_norm_backward", {});
  if (const auto* kernels = cuda::kernels(x.device())) {
    const auto plain = [&](const torch::Tensor& tensor) { return tensor.to(x.scalar_type()).contiguous(); };
    const torch::Tensor from = x.contiguous(), out = torch::empty_like(from);
    const torch::Tensor sums = kernels->layer_norm_backward(out, plain(gradient), from, statistics.mean, statistics.rstd, fp32(weight), add.defined() ? plain(add) : add);
    return {out, sums[0], sums[1]};
  }
  if (!x.is_cpu()) {
    const torch::Tensor unit = unit_tokens(x, statistics), given = gradient.to(torch::kFloat), inner = given * weight.to(torch::kFloat);
    torch::Tensor out = (inner - inner.mean(-1, true) - unit * (inner * unit).mean(-1, true)) * statistics.rstd.unsqueeze(-1);
    if (add.defined()) out = out + add;
    return {out.to(x.scalar_type()), (given * unit).flatten(0, -2).sum(0), given.flatten(0, -2).sum(0)};
  }
  const Tokens tokens(x);
  const auto dtype = tokens.tensor.scalar_type();
  const torch::Tensor given = gradient.to(dtype).contiguous(), beside = add.defined() ? add.to(dtype).contiguous() : add;
  const torch::Tensor out = torch::empty_like(tokens.tensor), scale = fp32(weight);
  const int64_t chunks = std::clamp<int64_t>(tokens.count / kTokenGrain, 1, 16);  // fixed, so that sums are the same at any thread count
  const torch::Tensor sums = torch::zeros({2, chunks, tokens.channels}, scale.options());
  auto *weight_sums = sums.data_ptr<float>(), *bias_sums = weight_sums + chunks * tokens.channels;
  const auto run = [&]<class T>(T* to) {
    gradients(to, weight_sums, bias_sums, numbers<T>(given), numbers<T>(tokens.tensor), beside.defined() ? numbers<T>(beside) : nullptr, statistics,
              scale.const_data_ptr<float>(), tokens, chunks);
  };
  if (tokens.is_bf16())
    run(mutable_numbers<bf16_bits>(out));
  else
    run(mutable_numbers<float>(out));
  const torch::Tensor totals = sums.sum(1);
  return {out.to(x.scalar_type()), totals[0], totals[1]};
}

}  // namespace sara
