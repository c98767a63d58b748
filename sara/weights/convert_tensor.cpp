// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/convert_tensor.h"

#include <cstring>

#include "sara/base/error.h"
#include "sara/weights/adapter.h"
#include "sara/weights/precision.h"

namespace sara {

DType written_dtype(const TensorInfo& info, const ConvertOptions& options) {
  const auto dtype = torch_dtype(info.dtype);
  return options.dtype && dtype && c10::isFloatingType(*dtype) ? file_dtype(*options.dtype) : info.dtype;
}

torch::Tensor written_tensor(const std::string& component, const WeightFiles::Entry& entry, const ChangedTensors& changed, const ConvertOptions& options) {
  torch::Tensor tensor;
  if (const auto part = changed.find(component); part != changed.end()) {
    if (const auto found = part->second.find(entry.info->name); found != part->second.end()) tensor = found->second.detach().cpu();
  }
  if (!tensor.defined()) tensor = read_tensor(entry);
  SARA_CHECK(tensor.sizes().vec() == entry.info->shape, "new weights of another shape for ", entry.info->name);
  const auto dtype = *torch_dtype(written_dtype(*entry.info, options));
  if (tensor.scalar_type() == dtype) return tensor.contiguous();
  const torch::Tensor out = tensor.to(dtype);
  if (dtype == torch::kHalf && !out.isfinite().all().item<bool>() && tensor.to(torch::kFloat).isfinite().all().item<bool>())
    throw InvalidArgument(message("dtype: ", component, ".", entry.info->name, " holds numbers beyond fp16. Fix: use bf16 or fp32"));
  return out.contiguous();
}

void copy_bytes(const torch::Tensor& tensor, void* out) {
  SARA_CHECK(tensor.is_contiguous() && tensor.is_cpu(), "bytes of a tensor that is not dense on the CPU");
  if (tensor.numel() > 0) std::memcpy(out, tensor.data_ptr(), tensor.nbytes());
}

}  // namespace sara
