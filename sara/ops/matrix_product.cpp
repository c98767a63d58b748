// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/matrix_product.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/linear.h>

#include <algorithm>

#include "sara/ops/processor.h"
#include "sara/ops/bf16_matmul.h"

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
  if (x.is_cpu() && x.scalar_type() == torch::kFloat && weight.scalar_type() == torch::kFloat && x.size(-1) == weight.size(1) && large && onednn_linear()) {
    const std::optional<torch::Tensor> shift = bias.defined() ? std::optional(bias) : std::nullopt;
    return onednn_linear()->call(x.contiguous(), weight, shift, "none", c10::List<std::optional<at::Scalar>>(), "");
  }
  return at::linear(x, weight, bias);
}

constexpr int64_t kFewTokens = 28;  // below, bringing the weight into panels takes longer than the product

// Operands that do not fit together are torch's, which says so. `summed`: the weight's dimension that meets the last one of x.
bool in_tiles(const torch::Tensor& x, const torch::Tensor& weight, int64_t summed) {
  static const bool half = has_avx512_bf16() && has_slow_bf16();
  return half && x.is_cpu() && weight.is_cpu() && x.scalar_type() == torch::kBFloat16 && weight.scalar_type() == torch::kBFloat16 && weight.is_contiguous() &&
         x.numel() > 0 && x.numel() >= kFewTokens * x.size(-1) && x.size(-1) == weight.size(summed);
}

torch::Tensor tile_product(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, bool transposed) {
  const torch::Tensor from = x.contiguous(), shift = bias.defined() ? bias.to(torch::kFloat).contiguous() : bias;
  auto sizes = x.sizes().vec();
  const int64_t depth = sizes.back(), columns = weight.size(transposed ? 0 : 1);
  sizes.back() = columns;
  const torch::Tensor out = torch::empty(sizes, from.options());
  const auto numbers = [](const torch::Tensor& tensor) { return static_cast<const uint16_t*>(tensor.const_data_ptr()); };
  const Bf16Matmul product{from.numel() / depth, depth, columns, numbers(from), numbers(weight), transposed, shift.defined() ? shift.const_data_ptr<float>() : nullptr,
                           static_cast<uint16_t*>(out.data_ptr())};
  at::parallel_for(0, product.blocks() * product.panels(), 1, [&](int64_t begin, int64_t end) {
    const torch::Tensor work = torch::empty({product.kWorkFloats}, torch::kFloat);
    while (begin < end) {
      const int64_t block = begin / product.panels(), panel = begin % product.panels(), count = std::min({product.kPanels, product.panels() - panel, end - begin});
      bf16_matmul_avx512(product, block, panel, count, work.data_ptr<float>());
      begin += count;
    }
  });
  return out;
}

}  // namespace

torch::Tensor product_with_transposed(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  if (in_tiles(x, weight, 1)) return tile_product(x, weight, bias, true);
  return linear_product(x, weight, bias);
}

torch::Tensor product_with(const torch::Tensor& x, const torch::Tensor& weight) {
  if (in_tiles(x, weight, 0)) return tile_product(x, weight, {}, false);
  static const bool by_blas = is_intel();
  if (by_blas && x.is_cpu() && x.scalar_type() == torch::kFloat) {
    const at::AutoDispatchBelowAutograd below;
    return at::linear(x.contiguous(), weight.t());
  }
  return linear_product(x, weight.t(), {});
}

}  // namespace sara
