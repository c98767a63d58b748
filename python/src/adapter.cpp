// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/adapter.h"

#include <pybind11/stl.h>
#include <torch/utils.h>

#include "python/src/registers.h"
#include "sara/base/error.h"
#include "sara/weights/applied_adapters.h"

namespace py = pybind11;

namespace sara::python {
namespace {

// A tensor of an adapter as Python gives it, checked as a file's would be.
AdapterTensor adapter_tensor(const std::string& key, const torch::Tensor& indices, const torch::Tensor& data, bool is_value) {
  const auto refuse = [&](const char* why) { throw InvalidArgument(message("tensors: ", escaped(key), ": ", why, ". Fix: correct the adapter")); };
  if (indices.dim() != 1 || data.dim() != 1 || indices.numel() != data.numel()) refuse("indices and data must be [n], of one length");
  if (indices.scalar_type() != torch::kInt && indices.scalar_type() != torch::kLong) refuse("indices must be int32 or int64");
  const auto dtype = data.scalar_type();
  if (dtype != torch::kFloat && dtype != torch::kBFloat16 && dtype != torch::kHalf) refuse("data must be float32, bfloat16 or float16");
  const torch::Tensor positions = indices.detach().cpu().clone(at::MemoryFormat::Contiguous), numbers = data.detach().cpu().clone(at::MemoryFormat::Contiguous);
  if (positions.numel() && (positions[0].item<int64_t>() < 0 || positions.diff().le(0).any().item<bool>())) refuse("indices must increase from 0 or more");
  if (!numbers.isfinite().all().item<bool>()) refuse("NaN or infinite numbers");
  return {positions, numbers, is_value};
}

}  // namespace

void register_adapter(py::module_& module) {
  py::class_<AdapterTensor>(module, "AdapterTensor", "What an adapter does to one tensor.")
      .def_readonly("indices", &AdapterTensor::indices, "[n] int32 or int64, sorted: flat positions in the contiguous tensor")
      .def_readonly("data", &AdapterTensor::data, "[n] float32, bfloat16 or float16")
      .def_readonly("is_value", &AdapterTensor::is_value, "data are trained weights, not differences to the base");

  py::class_<Adapter>(module, "Adapter", "What one run learned: sparse changes by parameter path, with metadata.")
      .def(py::init([](const std::map<std::string, std::pair<torch::Tensor, torch::Tensor>>& tensors, std::map<std::string, std::string> metadata,
                       bool as_values) {
             Adapter adapter{"adapter", {}, std::move(metadata)};
             for (const auto& [key, item] : tensors) adapter.tensors[key] = adapter_tensor(key, item.first, item.second, as_values);
             return adapter;
           }),
           py::arg("tensors"), py::arg("metadata") = std::map<std::string, std::string>{}, py::kw_only(), py::arg("as_values") = false)
      .def_readonly("source", &Adapter::source, "Where it came from, for messages")
      .def_readonly("tensors", &Adapter::tensors, "Parameter path to AdapterTensor")
      .def_readwrite("metadata", &Adapter::metadata, "Texts; reading gives a copy, so assign a whole dict")
      .def("with_metadata",
           [](Adapter self, const std::map<std::string, std::string>& more) {
             for (const auto& [key, text] : more) self.metadata.insert_or_assign(key, text);
             return self;
           },
           py::arg("metadata"), "The same adapter with these texts added to its metadata")
      .def("__len__", &Adapter::count, "Number of changed weights")
      .def("__repr__", [](const Adapter& adapter) {
        return message("<sara.Adapter ", adapter.source, ": ", adapter.count(), " weights in ", adapter.tensors.size(), " tensors>");
      });

  module.def("save_adapter", &save_adapter, py::arg("path"), py::arg("adapter"), py::call_guard<py::gil_scoped_release>());
  module.def("load_adapter", &load_adapter, py::arg("path"), py::call_guard<py::gil_scoped_release>());

  py::class_<AppliedAdapters>(module, "AppliedAdapters", "Adapters on a model (weights/applied_adapters.h).")
      .def(py::init<const NamedTensors&, std::string>(), py::arg("model"), py::arg("family"))
      .def("add", &AppliedAdapters::add, py::arg("adapter"), py::arg("scale"), py::arg("force"), py::call_guard<py::gil_scoped_release>())
      .def("remove", &AppliedAdapters::remove, py::call_guard<py::gil_scoped_release>());
}

}  // namespace sara::python
