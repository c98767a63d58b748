// SPDX-License-Identifier: Apache-2.0
// A device for torch (its PrivateUse1) whose memory is the CPU's: what has no kernel there is computed by the CPU's. To the library
// its tensors are as those of a GPU: none of them is on the CPU, mixing both fails, and the host waits only where it would.
#include "tests/cuda/emulated_backend.h"

#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/ops/_local_scalar_dense.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <cstring>

#include "tests/cuda/device.h"
#include "tests/cuda/emulated_graph.h"

namespace sara {
namespace {

constexpr c10::DeviceType kType = c10::DeviceType::PrivateUse1;
const c10::Device kDevice{kType, 0};

// Fresh memory is NaN, and so is what was given back.
struct Memory : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    void* const data = device_memory(bytes);
    return {data, data, &give_back, kDevice};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};
Memory memory;
REGISTER_ALLOCATOR(kType, &memory)

struct Guard : c10::impl::NoOpDeviceGuardImpl<kType> {
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  c10::Device getDevice() const override { return kDevice; }
  c10::Stream getStream(c10::Device) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, kDevice); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return getStream(kDevice); }
  void synchronizeDevice(c10::DeviceIndex) const override { wait_for_device(); }
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

// Does the work; once more whenever a graph that records now is started.
template <class Work>
void do_work(const Work& work) {
  if (is_recording() && !ByTheCpu::now) record_work(work);
  work();
}

torch::Tensor empty(c10::IntArrayRef sizes, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>, std::optional<c10::Device>, std::optional<bool>,
                    std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype), format);
}

torch::Tensor empty_strided(c10::IntArrayRef sizes, c10::IntArrayRef strides, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>, std::optional<c10::Device>,
                            std::optional<bool>) {
  return at::detail::empty_strided_generic(sizes, strides, &memory, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), c10::dtype_or_default(dtype));
}

torch::Tensor copy_from(const torch::Tensor& from, const torch::Tensor& to, bool) {
  if (to.is_cpu()) wait_for_device();
  TORCH_CHECK(!from.is_cpu() || ByTheCpu::now || !is_recording(), "a device that records cannot read from the CPU");
  do_work([from = on_cpu(from), to = on_cpu(to)] { to.copy_(from); });
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
  wait_for_device();
  return at::_local_scalar_dense(on_cpu(self));
}

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
}

}  // namespace

torch::Tensor on_cpu(const torch::Tensor& tensor) {
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), [tensor](void*) {}, tensor.options().device(torch::kCPU));
}

void wait_for_device() {
  if (ByTheCpu::now) return;
  TORCH_CHECK(!is_recording(), "the host cannot wait for a device that records");
  ++waits;
}

c10::Device emulated_device() { return kDevice; }
std::optional<int64_t> host_waits() { return waits; }

}  // namespace sara
