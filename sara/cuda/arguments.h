// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/DeviceGuard.h>
#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/cuda/kernels.h"
#include "sara/cuda/launch.h"
#include "sara/cuda/numbers.cuh"

namespace sara::cuda {

// What the kernels take of tensors.

// The current stream of the tensor's device, as torch's own kernels use it.
Stream stream_of(const torch::Tensor& tensor);

// Starts a kernel on that stream.
template <class Kernel>
void queue(const Kernel& kernel, int64_t blocks, const torch::Tensor& where) {
  const c10::DeviceGuard current(where.device());
  launch(kernel, blocks, stream_of(where));
}

// Calls work.operator()<float, BFloat16 or Half>().
template <class Work>
void for_number(at::ScalarType dtype, const Work& work) {
  if (dtype == torch::kFloat) return work.template operator()<float>();
  if (dtype == torch::kBFloat16) return work.template operator()<BFloat16>();
  SARA_CHECK(dtype == torch::kHalf, "kernels of ", toString(dtype));
  work.template operator()<Half>();
}

template <class Work>
void for_index(at::ScalarType dtype, const Work& work) {
  if (dtype == torch::kInt) return work.template operator()<int32_t>();
  SARA_CHECK(dtype == torch::kLong, "indices of ", toString(dtype));
  work.template operator()<int64_t>();
}

template <class T>
constexpr at::ScalarType kDtype = std::is_same_v<T, float> ? torch::kFloat : std::is_same_v<T, BFloat16> ? torch::kBFloat16 : torch::kHalf;

// The numbers of a contiguous tensor of T; `numel` of them, so that a wrong size never becomes a wrong address.
template <class T>
T* numbers_of(const torch::Tensor& tensor, int64_t numel) {
  SARA_CHECK(tensor.is_contiguous() && tensor.scalar_type() == kDtype<T> && tensor.numel() == numel, "a kernel was given ", toString(tensor.scalar_type()), " of ", tensor.numel(),
             " numbers instead of ", toString(kDtype<T>), " of ", numel);
  return static_cast<T*>(tensor.data_ptr());
}

}  // namespace sara::cuda
