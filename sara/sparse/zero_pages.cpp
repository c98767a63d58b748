// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/zero_pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "sara/base/error.h"

namespace sara {

void zero_and_release_(const torch::Tensor& tensor) {
  SARA_CHECK(tensor.is_contiguous());
  if (!tensor.is_cpu()) {
    tensor.zero_();
    return;
  }
  auto* const begin = static_cast<char*>(tensor.data_ptr());
  char* const end = begin + tensor.nbytes();
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  auto* const first = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page);
  auto* const last = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(end) / page * page);
#if defined(__linux__)
  // Private memory that no file stands behind reads as zeros afterwards. Locked memory is refused: then by hand.
  if (first < last && madvise(first, static_cast<size_t>(last - first), MADV_DONTNEED) == 0) {
    std::memset(begin, 0, static_cast<size_t>(first - begin));
    std::memset(last, 0, static_cast<size_t>(end - last));
    return;
  }
#endif
  std::memset(begin, 0, static_cast<size_t>(end - begin));
}

torch::Tensor cut_(const torch::Tensor& tensor, int64_t count) {
  SARA_CHECK(tensor.is_contiguous() && tensor.dim() == 1 && tensor.storage_offset() == 0 && count <= tensor.numel());
  const torch::Tensor front = tensor.narrow(0, 0, count);
  if (!tensor.is_cpu()) return front.clone();
  zero_and_release_(tensor.narrow(0, count, tensor.numel() - count));
  tensor.storage().unsafeGetStorageImpl()->set_nbytes(count * tensor.element_size());
  return torch::empty({0}, tensor.options()).set_(tensor.storage(), 0, {count}, {1});
}

}  // namespace sara
