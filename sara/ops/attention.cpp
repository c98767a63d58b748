// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/attention.h"

#include <ATen/ops/layer_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/csrc/autograd/custom_function.h>

#include "sara/ops/attend.h"
#include "sara/ops/layer_norm.h"
#include "sara/ops/linear.h"
#include "sara/ops/matrix_product.h"
#include "sara/ops/optional_tensor.h"
#include "sara/ops/weight_gradient.h"

namespace sara {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Projections {
  torch::Tensor q, k, v;  // [B, T, C], [B, S, C], [B, S, C]
};

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  enum Saved { kX, kContext, kNormWeight, kNormBias, kQ, kK, kV, kOutWeight, kOutBias, kMean, kRstd, kAttended, kLogSum, kQueries, kKeys, kValues, kPositions };

  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const OptionalTensor& given_context, const OptionalTensor& positions, const torch::Tensor& norm_weight,
                               const torch::Tensor& norm_bias, const torch::Tensor& to_q, const torch::Tensor& to_k, const torch::Tensor& to_v,
                               const torch::Tensor& out_weight, const torch::Tensor& out_bias, int64_t heads, double eps, bool upcast, MemoryLevel level) {
    const torch::Tensor other = or_undefined(given_context);
    const auto [normed, statistics] = layer_norm(x, norm_weight, norm_bias, eps);
    if (positions) normed.add_(*positions);
    const torch::Tensor& source = other.defined() ? other : normed;
    const Projections p{product_with_transposed(normed, to_q), product_with_transposed(source, to_k), product_with_transposed(source, to_v)};
    const auto wide = [&](const torch::Tensor& t) { return upcast ? t.to(torch::kFloat) : t; };
    const auto [attended, log_sum] = attend(wide(p.q), wide(p.k), wide(p.v), heads);
    const torch::Tensor result = product_with_transposed(attended.to(x.scalar_type()), out_weight, out_bias).add_(x);
    const AttentionKept keep = attention_kept(level, other.defined(), p.k.size(1), x.size(2));
    const auto kept = [](bool wanted, const torch::Tensor& t) { return wanted ? t : torch::Tensor(); };
    context->save_for_backward({x, other, norm_weight, norm_bias, to_q, to_k, to_v, out_weight, out_bias, statistics.mean, statistics.rstd, kept(keep.attended, attended),
                                kept(keep.attended, log_sum), kept(keep.queries, p.q), kept(keep.keys_and_values, p.k), kept(keep.keys_and_values, p.v), or_undefined(positions)});
    context->saved_data["heads"] = heads;
    context->saved_data["upcast"] = upcast;
    context->saved_data["context"] = other.defined() && other.requires_grad();
    return result;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[kX], &other = saved[kContext];
    const int64_t heads = context->saved_data["heads"].toInt();
    const bool upcast = context->saved_data["upcast"].toBool();
    const NormStatistics statistics{saved[kMean], saved[kRstd]};
    const torch::Tensor gradient = gradients[0].contiguous();
    torch::Tensor of_context;

    const torch::Tensor normed = layer_norm_apply(x, statistics, saved[kNormWeight], saved[kNormBias]);
    if (saved[kPositions].defined()) normed.add_(saved[kPositions]);
    const torch::Tensor& source = other.defined() ? other : normed;
    const auto kept_or = [](const torch::Tensor& kept, const torch::Tensor& from, const torch::Tensor& weight) { return kept.defined() ? kept : product_with_transposed(from, weight); };
    const auto wide = [&](const torch::Tensor& t) { return upcast ? t.to(torch::kFloat) : t; };
    const Projections p{wide(kept_or(saved[kQueries], normed, saved[kQ])), wide(kept_or(saved[kKeys], source, saved[kK])), wide(kept_or(saved[kValues], source, saved[kV]))};
    const Attended attended = saved[kAttended].defined() ? Attended{saved[kAttended], saved[kLogSum]} : attend(p.q, p.k, p.v, heads);

    TokenOperand out_gradient(gradient), out_input(attended.values.to(x.scalar_type()));
    const LinearGradients of_out = linear_gradients({saved[kOutWeight], out_gradient, is_trained(saved[kOutBias])}, &out_input);
    const torch::Tensor of_attended = product_with(gradient, saved[kOutWeight]);

    const AttendGradients inner = attend_backward(wide(of_attended), p.q, p.k, p.v, attended, heads);
    const auto narrow = [&](const torch::Tensor& t) { return t.to(x.scalar_type()); };
    const torch::Tensor of_q = narrow(inner.q), of_k = narrow(inner.k), of_v = narrow(inner.v);

    TokenOperand q_gradient(of_q), k_gradient(of_k), v_gradient(of_v), tokens(normed), source_tokens(source);
    const LinearLayer to_q{saved[kQ], q_gradient}, to_k{saved[kK], k_gradient}, to_v{saved[kV], v_gradient};
    std::vector<LinearGradients> of_projections;
    if (other.defined()) {
      of_projections = linear_gradients({to_k, to_v}, &source_tokens);
      of_projections.insert(of_projections.begin(), linear_gradients(to_q, &tokens));
    } else {
      of_projections = linear_gradients({to_q, to_k, to_v}, &tokens);
    }
    torch::Tensor of_normed = product_with(q_gradient.tokens(), saved[kQ]);
    const auto add_source = [&](torch::Tensor& to) { to.add_(product_with(k_gradient.tokens(), saved[kK])).add_(product_with(v_gradient.tokens(), saved[kV])); };
    if (!other.defined()) {
      add_source(of_normed);
    } else if (context->saved_data["context"].toBool()) {
      of_context = torch::zeros({source_tokens.tokens().size(0), other.size(2)}, other.options());
      add_source(of_context);
      of_context = of_context.view(other.sizes());
    }
    const NormGradients of = layer_norm_backward(of_normed.view(x.sizes()), x, statistics, saved[kNormWeight], gradient);
    return {of.input, of_context, {}, small_gradient(saved[kNormWeight], of.weight), small_gradient(saved[kNormBias], of.bias), of_projections[0].weight,
            of_projections[1].weight, of_projections[2].weight, of_out.weight, small_gradient(saved[kOutBias], of_out.sums), {}, {}, {}, {}};
  }
};

// [B, T, C] -> [B, heads, T, C / heads] and back
torch::Tensor by_heads(const torch::Tensor& x, int64_t heads) { return x.unflatten(2, {heads, -1}).transpose(1, 2); }
torch::Tensor by_tokens(const torch::Tensor& x) { return x.transpose(1, 2).flatten(2); }

// On other devices, from torch's own parts.
torch::Tensor composed(const torch::Tensor& x, const torch::Tensor& context, const AttentionParameters& p) {
  torch::Tensor normed = at::layer_norm(x, {x.size(-1)}, p.norm_weight, p.norm_bias, p.eps);
  if (p.positions.defined()) normed = normed + p.positions;
  const torch::Tensor& source = context.defined() ? context : normed;
  const auto wide = [&](const torch::Tensor& t) { return by_heads(p.upcast ? t.to(torch::kFloat) : t, p.heads); };
  const auto projected = [&](const torch::Tensor& from, const torch::Tensor& weight) { return wide(sara::linear(from, weight, torch::Tensor())); };
  const torch::Tensor attended = at::scaled_dot_product_attention(projected(normed, p.to_q), projected(source, p.to_k), projected(source, p.to_v));
  return x + sara::linear(by_tokens(attended).to(x.scalar_type()), p.to_out_weight, p.to_out_bias);
}

}  // namespace

AttentionKept attention_kept(MemoryLevel level, bool has_context, int64_t keys, int64_t channels) {
  const bool projections = level < MemoryLevel::n2, attending_costs_less = 2 * keys <= channels;
  return {projections && !has_context && attending_costs_less, projections, !has_context && !attending_costs_less};
}

torch::Tensor attention_block(const torch::Tensor& x, const torch::Tensor& context, const AttentionParameters& p, MemoryLevel level) {
  if (!x.is_cpu()) return composed(x, context, p);
  return AttentionFunction::apply(x, optional(context), optional(p.positions), p.norm_weight, p.norm_bias, p.to_q, p.to_k, p.to_v, p.to_out_weight, p.to_out_bias, p.heads, p.eps, p.upcast,
                                  level);
}

}  // namespace sara
