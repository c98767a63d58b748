// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/torch_attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward_native.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_native.h>
#include <torch/library.h>

#include <atomic>
#include <cmath>
#include <optional>
#include <tuple>

#include "sara/ops/attend.h"

namespace sara {
namespace {

using torch::Tensor;

// Torch's shapes are [B, heads, T, d]; with tokens next to each other, as diffusers and transformers lay them out, the view costs nothing.
Tensor by_tokens(const Tensor& x) { return x.transpose(1, 2).flatten(2).contiguous(); }
Tensor by_heads(const Tensor& x, int64_t heads) { return x.unflatten(2, {heads, -1}).transpose(1, 2); }

std::atomic<int64_t> wanted{0};  // results that live

bool fits(const Tensor& q, const Tensor& k, const Tensor& v, double dropout, bool causal, const std::optional<Tensor>& mask, std::optional<double> scale) {
  if (wanted == 0 || (mask && mask->defined()) || causal || dropout != 0 || q.dim() != 4 || !attends_by_kernel(q.scalar_type(), q.size(3))) return false;
  if (q.scalar_type() != k.scalar_type() || k.scalar_type() != v.scalar_type() || k.sizes() != v.sizes()) return false;
  if (q.size(0) != k.size(0) || q.size(1) != k.size(1) || q.size(3) != k.size(3) || q.numel() == 0 || k.numel() == 0) return false;
  const double usual = 1 / std::sqrt(double(q.size(3)));
  return std::abs(scale.value_or(usual) - usual) < 1e-6 * usual && q.size(0) * q.size(1) >= at::get_num_threads();
}

std::tuple<Tensor, Tensor> forward(const Tensor& q, const Tensor& k, const Tensor& v, double dropout, bool causal, const std::optional<Tensor>& mask, std::optional<double> scale) {
  if (!fits(q, k, v, dropout, causal, mask, scale)) return at::native::_scaled_dot_product_flash_attention_cpu(q, k, v, dropout, causal, mask, scale);
  const int64_t heads = q.size(1);
  const Attended attended = attend(by_tokens(q), by_tokens(k), by_tokens(v), heads);
  const Tensor values = by_heads(attended.values, heads), like = at::empty_like(q);
  const Tensor log_sum = at::empty({q.size(0), q.size(2), heads}, attended.log_sum.options()).transpose(1, 2).copy_(attended.log_sum);
  return {like.strides() == values.strides() ? values : like.copy_(values), log_sum};
}

std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& values, const Tensor& log_sum, double dropout,
                                            bool causal, const std::optional<Tensor>& mask, std::optional<double> scale) {
  if (!gradient.defined() || !fits(q, k, v, dropout, causal, mask, scale))
    return at::native::_scaled_dot_product_flash_attention_cpu_backward(gradient, q, k, v, values, log_sum, dropout, causal, mask, scale);
  const int64_t heads = q.size(1);
  const AttendGradients of = attend_backward(by_tokens(gradient), by_tokens(q), by_tokens(k), by_tokens(v), {by_tokens(values), log_sum.contiguous()}, heads);
  return {by_heads(of.q, heads), by_heads(of.k, heads), by_heads(of.v, heads)};
}

// Registering a kernel where one is makes torch warn; here it is what is wanted.
struct NoWarnings : c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

}  // namespace

std::shared_ptr<void> speed_up_torch_attention() {
  static const auto registered = [] {
    NoWarnings none;
    const c10::WarningUtils::WarningHandlerGuard guard(&none);
    auto library = std::make_unique<torch::Library>(torch::Library::IMPL, "aten", c10::DispatchKey::CPU, __FILE__, __LINE__);
    library->impl("_scaled_dot_product_flash_attention_for_cpu", TORCH_FN(forward));
    library->impl("_scaled_dot_product_flash_attention_for_cpu_backward", TORCH_FN(backward));
    return library.release();  // for the life of the process
  }();
  ++wanted;
  return {registered, [](torch::Library*) { --wanted; }};
}

}  // namespace sara
