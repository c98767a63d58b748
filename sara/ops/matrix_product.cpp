// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/matrix_product.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/linear.h>

#include "sara/ops/processor.h"

namespace sara {
namespace {

using LinearPointwise = torch::Tensor(const torch::Tensor&, const torch::Tensor&, const std::optional<torch::Tensor>&, c10::string_view,
                                      c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);

// torch's door to oneDNN's matrix product, if this libtorch has one.
const std::optional<c10::TypedOperatorHandle<LinearPointwise>>& onednn_linear() {
  static const auto handle = []() -> std::optional<c10::TypedOperatorHandle<LinearPointwise>> {
    const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!found || !found->hasKernelForDispatchKey(c10::DispatchKey::CPU)) return std::nullopt;
    return found->typed<LinearPointwise>();
  }();
  return handle;
}

torch::Tensor linear_product(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  const at::AutoDispatchBelowAutograd below;
  const bool large = x.numel() > 0 && weight.numel() > 4096;  // a call into oneDNN costs more than a small product
  if (x.is_cpu() && x.scalar_type() == torch::kFloat && weight.scalar_type() == torch::kFloat && large && onednn_linear()) {
    const std::optional<torch::Tensor> shift = bias.defined() ? std::optional(bias) : std::nullopt;
    return onednn_linear()->call(x.contiguous(), weight, shift, "none", c10::List<std::optional<at::Scalar>>(), "");
  }
  return at::linear(x, weight, bias);
}

}  // namespace

torch::Tensor product_with_transposed(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) { return linear_product(x, weight, bias); }

torch::Tensor product_with(const torch::Tensor& x, const torch::Tensor& weight) {
  static const bool by_blas = is_intel();
  if (by_blas && x.is_cpu() && x.scalar_type() == torch::kFloat) {
    const at::AutoDispatchBelowAutograd below;
    return at::linear(x.contiguous(), weight.t());
  }
  return linear_product(x, weight.t(), {});
}

}  // namespace sara
