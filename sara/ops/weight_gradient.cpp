// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/weight_gradient.h"

#include <ATen/ops/convolution_backward.h>

#include <algorithm>
#include <functional>

#include "sara/base/error.h"
#include "sara/cuda/kernels.h"
#include "sara/ops/channel_sums.h"
#include "sara/ops/gradient_clock.h"
#include "sara/ops/map_layout.h"
#include "sara/sparse/capture.h"
#include "sara/sparse/gather_scatter.h"

namespace sara {
namespace {

// Above this share of a weight a dense product and a gather take less time than single dot products (bench/sampled_matmul; bf16 by
// processor from 0.3 on).
constexpr double kBreakEven = 0.3;
// The same on a device with kernels. Not measured: what 8 to 15 TFLOP/s of single products give against 550 of dense ones.
constexpr double kBreakEvenDevice = 0.015;
constexpr int64_t kTileBytes = 1 << 23;

bool is_sampled(const Values::Slot& slot) {
  if (slot.indices.scalar_type() != torch::kInt || slot.weight.dim() < 2) return false;
  const double density = double(slot.indices.numel()) / double(slot.weight.numel());
  if (cuda::kernels(slot.weight.device())) return density < kBreakEvenDevice;
  return slot.row_starts.defined() && density < kBreakEven;
}

// Are a layer's entries single products on the CPU?
bool goes_by_entries(const std::optional<GradientSink>& sink) {
  if (!sink) return false;
  const Values::Slot& slot = sink->values->slots()[sink->slot];
  return slot.weight.is_cpu() && slot.indices.numel() > 0 && is_sampled(slot);
}

// Adds the active entries of a gradient that `rows(begin, end)` gives tile by tile.
void gather_by_rows(const GradientSink& sink, const std::function<torch::Tensor(int64_t, int64_t)>& rows) {
  const Values::Slot& slot = sink.values->slots()[sink.slot];
  const torch::Tensor out = sink.values->open_gradient_(sink.slot);
  const int64_t count = slot.weight.size(0), columns = slot.weight.numel() / count;
  if (!slot.row_starts.defined()) {
    const torch::Tensor dense = rows(0, count);
    return gather_add_(out, dense, slot.indices, slot.offsets_in(dense));
  }
  const auto* starts = slot.row_starts.const_data_ptr<int64_t>();
  const int64_t tile = std::max<int64_t>(1, kTileBytes / (columns * slot.weight.element_size()));
  for (int64_t begin = 0; begin < count; begin += tile) {
    const int64_t end = std::min(count, begin + tile), first = starts[begin], selected = starts[end] - first;
    if (selected) gather_add_(out.narrow(0, first, selected), rows(begin, end), slot.indices.narrow(0, first, selected) - begin * columns);
  }
}

// Of one layer whose entries are not single products on the CPU.
torch::Tensor linear_weight_gradient(const torch::Tensor& weight, TokenOperand& gradient, TokenOperand& input) {
  const auto sink = gradient_sink(weight);
  if (!sink) return gradient.tokens().t().mm(input.tokens()).to(weight.scalar_type());
  const Values::Slot& slot = sink->values->slots()[sink->slot];
  if (slot.indices.numel() == 0) return {};
  if (const auto* kernels = cuda::kernels(weight.device()); kernels && is_sampled(slot))
    kernels->sampled_linear(sink->values->open_gradient_(sink->slot), slot.indices, gradient.tokens(), input.tokens());
  else
    gather_by_rows(*sink, [&](int64_t begin, int64_t end) { return gradient.tokens().narrow(1, begin, end - begin).t().mm(input.tokens()); });
  return {};
}

torch::Tensor sums_of(const TokenOperand& gradient) { return gradient.is_map() ? sum_over_positions(gradient.given()).sum(0) : sum_over_tokens(gradient.given()); }

}  // namespace

std::vector<LinearGradients> linear_gradients(const std::vector<LinearLayer>& layers, TokenOperand* input) {
  const GradientClock clock;
  std::vector<LinearGradients> out(layers.size());
  std::vector<SampledLinear> sampled;
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto& [weight, gradient, has_trained_bias] = layers[i];
    const bool is_wanted = input && is_trained(weight);
    const auto sink = is_wanted ? gradient_sink(weight) : std::nullopt;
    const bool goes_along = goes_by_entries(sink);  // its sums too
    if (has_trained_bias) out[i].sums = goes_along ? torch::zeros({gradient.channels()}, torch::kFloat) : sums_of(gradient);
    if (goes_along) {
      const Values::Slot& slot = sink->values->slots()[sink->slot];
      sampled.push_back({sink->values->open_gradient_(sink->slot), {slot.indices, slot.row_starts, &slot.entries}, gradient, out[i].sums});
    } else if (is_wanted) {
      out[i].weight = linear_weight_gradient(weight, gradient, *input);
    }
  }
  if (!sampled.empty()) sampled_linear_add_(sampled, *input);
  return out;
}

LinearGradients linear_gradients(const LinearLayer& layer, TokenOperand* input) { return linear_gradients(std::vector{layer}, input).front(); }

ConvolutionGradients convolution_gradients(const torch::Tensor& weight, const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape, bool with_sums) {
  const GradientClock clock;
  const auto sums = [&] { return with_sums ? sum_over_positions(gradient) : torch::Tensor(); };
  if (!is_trained(weight) || !input.defined()) return {{}, sums()};
  const auto rows = [&](int64_t begin, int64_t end) {
    const torch::Tensor part = laid_out_as(gradient.narrow(1, begin, end - begin), input), part_weight = weight.narrow(0, begin, end - begin).to(input.scalar_type());
    return std::get<1>(at::convolution_backward(part, input, part_weight, c10::nullopt, {shape.stride, shape.stride}, {shape.padding, shape.padding}, {1, 1},
                                                false, {0, 0}, 1, {false, true, false}));
  };
  const auto sink = gradient_sink(weight);
  if (!sink) return {rows(0, weight.size(0)).to(weight.scalar_type()), sums()};
  const Values::Slot& slot = sink->values->slots()[sink->slot];
  if (slot.indices.numel() == 0) return {{}, sums()};
  if (is_sampled(slot)) {
    if (const auto* kernels = cuda::kernels(weight.device())) {
      kernels->sampled_convolution(sink->values->open_gradient_(sink->slot), slot.indices, gradient, input, {shape.kernel, shape.stride, shape.padding});
      return {{}, sums()};
    }
    const torch::Tensor on_the_way = with_sums ? torch::zeros({gradient.size(0), gradient.size(1)}, torch::kFloat) : torch::Tensor();
    if (sampled_convolution_add_(sink->values->open_gradient_(sink->slot), {slot.indices, slot.row_starts, &slot.entries}, gradient, input, shape, on_the_way)) return {{}, on_the_way};
  }
  gather_by_rows(*sink, rows);
  return {{}, sums()};
}

torch::Tensor small_gradient(const torch::Tensor& parameter, const torch::Tensor& gradient) {
  if (!is_trained(parameter)) return {};
  const GradientClock clock;
  const auto sink = gradient_sink(parameter);
  if (!sink) return gradient.to(parameter.scalar_type());
  sink->values->gather_gradient_(sink->slot, gradient);
  return {};
}

}  // namespace sara
