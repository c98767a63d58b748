// SPDX-License-Identifier: Apache-2.0
// A device for torch (its PrivateUse1) whose memory is the CPU's: what has no kernel there is computed by the CPU's. To the library
// its tensors are as those of a GPU: none of them is on the CPU, mixing both fails, and the host waits only where it would.
#include "tests/cuda/emulated_backend.h"
#include "tests/cuda/device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/DispatchStub.h>
#include <ATen/native/transformers/attention.h>
#include <ATen/native/transformers/sdp_utils_cpp.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <malloc.h>
#include <torch/library.h>

#include <cstdlib>
#include <cstring>

namespace sara {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
const c10::Device kDevice{kType, 0};

// Fresh memory is NaN, and so is what was given back.
struct Memory : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* const data = std::malloc(std::max<size_t>(1, bytes));
    std::memset(data, 0xff, bytes);
    return {data, data, &release, kDevice};
  }
  static void release(void* data) {
    std::memset(data, 0xff, malloc_usable_size(data));
    std::free(data);
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Memory memory;
REGISTER_ALLOCATOR(kType, &memory)

struct Guard : c10::impl::NoOpDeviceGuardImpl<kType> {
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  c10::Stream getStream(c10::Device) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, kDevice); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return getStream(kDevice); }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

struct Hooks : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {  // torch::manual_seed seeds it; nothing draws from it
    static const at::Generator unused = at::make_generator<at::CPUGeneratorImpl>();
    return unused;
  }
  void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
    c10::DataPtr data = memory.allocate(bytes);
    std::memcpy(data.get(), storage.data(), std::min(bytes, storage.nbytes()));
    storage.unsafeGetStorageImpl()->set_data_ptr_noswap(std::move(data));
    storage.unsafeGetStorageImpl()->set_nbytes(bytes);
  }
};
const bool registered = [] {
  c10::register_privateuse1_backend("emulated");
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

int64_t waits = 0;
bool by_the_cpu = false;  // a tensor goes to the CPU only because an operation of the device is computed there

void wait() { waits += !by_the_cpu; }

torch::Tensor on_cpu(const torch::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), [tensor](void*) {}, tensor.options().device(torch::kCPU));
}

torch::Tensor on_device(const torch::Tensor& tensor) { return tensor.defined() ? tensor.to(kDevice) : tensor; }

torch::Tensor empty(c10::IntArrayRef sizes, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>, std::optional<c10::Device>, std::optional<bool>,
                    std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype), format);
}

torch::Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>, std::optional<c10::Device>,
                            std::optional<bool>) {
  return at::detail::empty_strided_generic(sizes, strides, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

torch::Tensor copy_from(const torch::Tensor& from, const torch::Tensor& to, bool) {
  if (to.is_cpu()) wait();
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

torch::Tensor copy_from_and_resize(const torch::Tensor& from, const torch::Tensor& to) {
  if (to.sizes() != from.sizes()) to.resize_(from.sizes());
  return copy_from(from, to, false);
}

const torch::Tensor& resize(const torch::Tensor& self, c10::IntArrayRef sizes, std::optional<c10::MemoryFormat>) {
  const size_t bytes = c10::multiply_integers(sizes) * self.element_size();
  if (bytes > self.storage().nbytes()) Hooks().resizePrivateUse1Bytes(self.storage(), bytes);
  self.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  return self;
}

torch::Tensor& set_storage(torch::Tensor& self, c10::Storage storage, int64_t offset, c10::IntArrayRef sizes, c10::IntArrayRef strides) {
  self.unsafeGetTensorImpl()->set_storage_keep_dtype(std::move(storage));
  self.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides, offset);
  return self;
}

c10::Scalar scalar_of(const torch::Tensor& self) {
  wait();
  return at::_local_scalar_dense(on_cpu(self));
}

torch::Tensor convolution(const torch::Tensor& x, const torch::Tensor& weight, const std::optional<torch::Tensor>& bias, c10::IntArrayRef stride, c10::IntArrayRef padding,
                          c10::IntArrayRef dilation, bool transposed, c10::IntArrayRef output_padding, int64_t groups) {
  const auto shift = bias && bias->defined() ? std::optional(on_cpu(*bias)) : std::nullopt;
  TORCH_CHECK(!x.is_cpu() && !weight.is_cpu(), "convolution: expected all tensors on the device");
  return on_device(at::convolution(on_cpu(x), on_cpu(weight), shift, stride, padding, dilation, transposed, output_padding, groups));
}

std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> convolution_backward(const torch::Tensor& gradient, const torch::Tensor& x, const torch::Tensor& weight, c10::IntArrayRef stride,
                                                                             c10::IntArrayRef padding, c10::IntArrayRef dilation, bool transposed, c10::IntArrayRef output_padding,
                                                                             int64_t groups, std::array<bool, 3> wanted) {
  const auto [of_x, of_weight, of_bias] =
      at::convolution_backward(on_cpu(gradient), on_cpu(x), on_cpu(weight), c10::nullopt, stride, padding, dilation, transposed, output_padding, groups, wanted);
  return {on_device(of_x), on_device(of_weight), on_device(of_bias)};
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

void by_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  require_on_device(op, *stack);
  if (waits_for_result(op.schema().name())) wait();
  const bool outer = std::exchange(by_the_cpu, true);
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true);
  by_the_cpu = outer;
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&by_cpu>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("resize_", resize);
  m.impl("set_.source_Storage_storage_offset", set_storage);
  m.impl("_local_scalar_dense", scalar_of);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("unfold", at::native::unfold);
  m.impl("convolution_overrideable", convolution);
  m.impl("convolution_backward_overrideable", convolution_backward);
}

int64_t attention_by_products(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, const std::optional<torch::Tensor>&, double, bool, std::optional<double>, bool) {
  return static_cast<int64_t>(sdp::SDPBackend::math);
}

}  // namespace

c10::Device emulated_device() { return kDevice; }
std::optional<int64_t> host_waits() { return waits; }

}  // namespace sara

namespace at::native {
REGISTER_PRIVATEUSE1_DISPATCH(_fused_sdp_choice_stub, &sara::attention_by_products)
}
