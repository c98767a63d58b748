// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/feed_forward.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "sara/ops/geglu.h"
#include "sara/ops/layer_norm.h"
#include "sara/ops/matrix_product.h"
#include "sara/ops/weight_gradient.h"
#include "sara/sparse/capture.h"

namespace sara {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The inner activations of so many bytes at a time: what is made for a moment, three times that, stays near the processor and small beside
// what is kept.
constexpr int64_t kPieceBytes = 10 << 20;
constexpr int64_t kPieceTokenBytes = 1024;  // of numbers of as many tokens, or a multiple: whole dot products of the sampled gradients (ops/token_groups.h)

// Dense gradients are one product each, and a device works best on whole tensors.
bool goes_in_pieces(const torch::Tensor& x, const torch::Tensor& in_weight, const torch::Tensor& out_weight) {
  const auto compact = [](const torch::Tensor& weight) { return !is_trained(weight) || gradient_sink(weight); };
  return x.is_cpu() && compact(in_weight) && compact(out_weight);
}

// [..., C] -> views of some tokens each.
std::vector<torch::Tensor> pieces_of(const torch::Tensor& x, const torch::Tensor& in_weight, const torch::Tensor& out_weight) {
  const torch::Tensor tokens = x.reshape({-1, x.size(-1)});
  if (!goes_in_pieces(x, in_weight, out_weight)) return {tokens};
  const int64_t least = kPieceTokenBytes / tokens.element_size(), count = kPieceBytes / (in_weight.size(0) * tokens.element_size()) / least * least;
  return tokens.split(std::max(count, least));
}

struct FeedForwardFunction : torch::autograd::Function<FeedForwardFunction> {
  static constexpr size_t kKept = 9;  // tensors before the inner activations

  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& norm_weight, const torch::Tensor& norm_bias,
                               const torch::Tensor& in_weight, const torch::Tensor& in_bias, const torch::Tensor& out_weight, const torch::Tensor& out_bias, double eps,
                               bool keep_inner) {
    const auto [normed, statistics] = layer_norm(x, norm_weight, norm_bias, eps);
    variable_list kept{x, norm_weight, norm_bias, in_weight, in_bias, out_weight, out_bias, statistics.mean, statistics.rstd};
    const torch::Tensor result = x.clone(at::MemoryFormat::Contiguous);
    torch::Tensor rows = result.view({-1, x.size(-1)});
    for (const torch::Tensor& piece : pieces_of(normed, in_weight, out_weight)) {
      const torch::Tensor inner = product_with_transposed(piece, in_weight, in_bias);
      rows.narrow(0, 0, piece.size(0)).add_(product_with_transposed(geglu(inner), out_weight, out_bias));
      rows = rows.narrow(0, piece.size(0), rows.size(0) - piece.size(0));
      if (keep_inner) kept.push_back(inner);
    }
    context->save_for_backward(std::move(kept));
    return result;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &norm_weight = saved[1], &norm_bias = saved[2], &in_weight = saved[3], &in_bias = saved[4], &out_weight = saved[5], &out_bias = saved[6];
    const NormStatistics statistics{saved[7], saved[8]};
    const torch::Tensor gradient = gradients[0].contiguous(), normed = layer_norm_apply(x, statistics, norm_weight, norm_bias), of_normed = torch::empty_like(normed);
    const auto given = pieces_of(gradient, in_weight, out_weight), inputs = pieces_of(normed, in_weight, out_weight), outputs = pieces_of(of_normed, in_weight, out_weight);
    torch::Tensor of_in_weight, of_out_weight, in_sums, out_sums;
    const auto add = [](torch::Tensor& sums, const torch::Tensor& more) { sums = sums.defined() ? sums.add_(more) : more; };
    for (size_t piece = 0; piece < given.size(); ++piece) {
      const torch::Tensor inner = saved.size() > kKept ? saved[kKept + piece] : product_with_transposed(inputs[piece], in_weight, in_bias);
      const GegluGradients gate = geglu_backward(product_with(given[piece], out_weight), inner);
      TokenOperand out_gradient(given[piece]), product(gate.product), in_gradient(gate.halves), in_input(inputs[piece]);
      const LinearGradients of_out = linear_gradients({out_weight, out_gradient, is_trained(out_bias)}, &product), of_in = linear_gradients({in_weight, in_gradient, is_trained(in_bias)}, &in_input);
      of_out_weight = of_out.weight;
      of_in_weight = of_in.weight;
      if (is_trained(out_bias)) add(out_sums, of_out.sums);
      if (is_trained(in_bias)) add(in_sums, of_in.sums);
      outputs[piece].copy_(product_with(gate.halves, in_weight));
    }
    const NormGradients of = layer_norm_backward(of_normed, x, statistics, norm_weight, gradient);
    return {of.input, small_gradient(norm_weight, of.weight), small_gradient(norm_bias, of.bias), of_in_weight, small_gradient(in_bias, in_sums), of_out_weight, small_gradient(out_bias, out_sums), {}, {}};
  }
};

}  // namespace

torch::Tensor feed_forward_block(const torch::Tensor& x, const FeedForwardParameters& p, MemoryLevel level) {
  return FeedForwardFunction::apply(x, p.norm_weight, p.norm_bias, p.in_weight, p.in_bias, p.out_weight, p.out_bias, p.eps, level < MemoryLevel::n1);
}

}  // namespace sara
