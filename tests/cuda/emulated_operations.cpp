// SPDX-License-Identifier: Apache-2.0
// What the emulated device computes: all of it by the CPU.
#include <ATen/native/CPUFallback.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/native/transformers/sdp_utils_cpp.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <torch/library.h>

#include "sara/ops/map_layout.h"
#include "tests/cuda/emulated_backend.h"
#include "tests/cuda/emulated_graph.h"

namespace sara {
namespace {

// The CPU's results as tensors of the device.
template <class Work>
std::array<torch::Tensor, 3> results_of(const Work& work) {
  const auto on_device = [](const torch::Tensor& tensor) {
    if (!tensor.defined()) return tensor;
    const torch::Tensor there = torch::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(emulated_device()));
    on_cpu(there).copy_(tensor);
    return there;
  };
  const auto first = std::apply([&](const auto&... tensors) { return std::array{on_device(tensors)...}; }, work());
  if (is_recording()) {
    record_work([work, first] {
      const auto again = std::apply([](const auto&... tensors) { return std::array{tensors...}; }, work());
      for (size_t i = 0; i < again.size(); ++i)
        if (again[i].defined()) on_cpu(first[i]).copy_(again[i]);
    });
  }
  return first;
}

torch::Tensor convolution(const torch::Tensor& x, const torch::Tensor& weight, const std::optional<torch::Tensor>& bias, c10::IntArrayRef stride, c10::IntArrayRef padding,
                          c10::IntArrayRef dilation, bool transposed, c10::IntArrayRef output_padding, int64_t groups) {
  const auto shift = bias && bias->defined() ? std::optional(on_cpu(*bias)) : std::nullopt;
  TORCH_CHECK(!x.is_cpu() && !weight.is_cpu(), "convolution: expected all tensors on the device");
  return results_of([=, x = on_cpu(x), weight = on_cpu(weight), stride = stride.vec(), padding = padding.vec(), dilation = dilation.vec(), output_padding = output_padding.vec()] {
    return std::tuple(at::convolution(x, weight, shift, stride, padding, dilation, transposed, output_padding, groups), torch::Tensor(), torch::Tensor());
  })[0];
}

std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> convolution_backward(const torch::Tensor& gradient, const torch::Tensor& x, const torch::Tensor& weight, c10::IntArrayRef stride,
                                                                             c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed, c10::IntArrayRef output_padding,
                                                                             int64_t groups, std::array<bool, 3> wanted) {
  TORCH_CHECK(!is_channels_last(gradient) || x.suggest_memory_format() == at::MemoryFormat::ChannelsLast, "a GPU would lay the gradient out as the input seems to lie, and back");
  const auto of = results_of([=, gradient = on_cpu(gradient), x = on_cpu(x), weight = on_cpu(weight), stride = stride.vec(), padding = padding.vec(), dilation = dilation.vec(),
                              output_padding = output_padding.vec()] {
    return at::convolution_backward(gradient, x, weight, c10::nullopt, stride, padding, dilation, transposed, output_padding, groups, wanted);
  });
  return {of[0], of[1], of[2]};
}

// What a GPU computes with the host waiting for its result, since the result's size depends on the numbers.
bool waits_for_result(const std::string& name) { return name == "aten::nonzero" || name == "aten::masked_select" || name == "aten::equal" || name == "aten::_unique2"; }

// As on a GPU: beside its tensors only numbers may lie on the CPU.
void require_on_device(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  const auto require = [&](const torch::Tensor& tensor) {
    TORCH_CHECK(!tensor.defined() || !tensor.is_cpu() || tensor.dim() == 0, op.schema().name(), ": expected all tensors on the device, one of ", tensor.sizes(), " is on the CPU");
  };
  for (size_t i = stack.size() - op.schema().arguments().size(); i < stack.size(); ++i) {
    if (stack[i].isTensor()) require(stack[i].toTensor());
    if (stack[i].isTensorList())
      for (const torch::Tensor& tensor : stack[i].toTensorVector()) require(tensor);
  }
}

void call_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const at::AutoDispatchBelowADInplaceOrView without_autograd;
  const ByTheCpu here;
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
}

std::vector<torch::Tensor> tensors_in(const torch::jit::Stack& values) {
  std::vector<torch::Tensor> out;
  for (const c10::IValue& value : values) {
    if (value.isTensor()) out.push_back(value.toTensor());
    if (value.isTensorList())
      for (const torch::Tensor& tensor : value.toTensorVector()) out.push_back(tensor);
  }
  return out;
}

void by_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  require_on_device(op, *stack);
  if (waits_for_result(op.schema().name())) wait_for_device();
  const size_t others = stack->size() - op.schema().arguments().size();  // below this call's
  if (!is_recording() || ByTheCpu::now) return call_cpu(op, stack);
  const torch::jit::Stack given(stack->begin() + static_cast<int64_t>(others), stack->end());
  call_cpu(op, stack);
  const std::vector<torch::Tensor> results = tensors_in({stack->begin() + static_cast<int64_t>(others), stack->end()});
  record_work([op, given, results] {
    torch::jit::Stack again = given;
    call_cpu(op, &again);
    const std::vector<torch::Tensor> fresh = tensors_in(again);
    for (size_t i = 0; i < fresh.size(); ++i)
      if (fresh[i].defined() && !fresh[i].is_same(results[i])) on_cpu(results[i]).copy_(on_cpu(fresh[i]));
  });
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&by_cpu>()); }


TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}

int64_t attention_by_products(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, const std::optional<torch::Tensor>&, double, bool, std::optional<double>, bool) {
  return static_cast<int64_t>(sdp::SDPBackend::math);
}

}  // namespace
}  // namespace sara

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &sara::attention_by_products)
}
