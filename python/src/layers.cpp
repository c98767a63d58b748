// SPDX-License-Identifier: Apache-2.0
#include "python/src/registers.h"
#include "sara/ops/linear.h"
#include "sara/ops/norm_conv2d.h"
#include "sara/ops/torch_attention.h"

namespace py = pybind11;

namespace sara::python {

void register_layers(py::module_& module) {
  const auto tensor = [](const std::optional<torch::Tensor>& given) { return given.value_or(torch::Tensor()); };
  module.def(
      "linear", [tensor](const torch::Tensor& x, const torch::Tensor& weight, const std::optional<torch::Tensor>& bias) { return linear(x, weight, tensor(bias)); },
      py::arg("x"), py::arg("weight"), py::arg("bias"), py::call_guard<py::gil_scoped_release>());
  module.def(
      "conv2d",
      [tensor](const torch::Tensor& x, const torch::Tensor& weight, const std::optional<torch::Tensor>& bias, int64_t stride, int64_t padding) {
        return conv2d(x, weight, tensor(bias), {weight.size(2), stride, padding});
      },
      py::arg("x"), py::arg("weight"), py::arg("bias"), py::arg("stride"), py::arg("padding"), py::call_guard<py::gil_scoped_release>());

  struct FastAttention {
    std::shared_ptr<void> kernels = speed_up_torch_attention();
  };
  py::class_<FastAttention>(module, "FastAttention", "While it lives, torch's attention on the CPU goes by the library's kernels.").def(py::init<>());
}

}  // namespace sara::python
