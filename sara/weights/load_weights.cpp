// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/load_weights.h"

#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/weights/precision.h"
#include "sara/weights/weight_mismatch.h"

namespace sara {
namespace {

void check_finite(const torch::Tensor& tensor, const std::string& path, const std::string& name) {
  if (!tensor.is_floating_point()) return;
  constexpr int64_t kPiece = 1 << 20;  // an embedding of 130 MB would take twice that meanwhile
  const torch::Tensor numbers = tensor.reshape({-1});
  int64_t bad = 0;
  for (int64_t begin = 0; begin < numbers.numel(); begin += kPiece) {
    const torch::Tensor piece = numbers.narrow(0, begin, std::min(kPiece, numbers.numel() - begin));
    bad += piece.numel() - at::isfinite(piece).sum().item<int64_t>();
  }
  if (bad > 0) {
    throw BadFile(path, message("tensor ", name, " holds ", bad, " NaN or Inf values. Fix: use an undamaged file, or --allow-nonfinite"));
  }
}

}  // namespace

void load_weights_(torch::nn::Module& module, const WeightFiles& files, bool allow_nonfinite) {
  const torch::NoGradGuard no_grad;
  const WeightMismatch mismatch = weight_mismatch(module, files);
  if (!mismatch.none()) {
    throw BadFile(files.folder(), message("the weights do not fit the config: ", mismatch.text(), ". Fix: use the config.json these weights were saved with"));
  }
  auto tensors = stored_tensors(module);
  const auto in_files = names_of(files);
  for (const auto& entry : files.entries()) {
    const auto name = parameter_of(entry.info->name, tensors, in_files);
    if (name.empty()) continue;
    auto& parameter = tensors[name];
    if (parameter.is_cpu() && parameter.is_contiguous() && *torch_dtype(entry.info->dtype) == parameter.scalar_type()) {
      entry.read(parameter.data_ptr());
    } else {
      parameter.copy_(read_tensor(entry).view(parameter.sizes()));
    }
    if (!allow_nonfinite) check_finite(parameter, entry.reader->path(), name);
  }
}

}  // namespace sara
