// SPDX-License-Identifier: Apache-2.0
#include "python/src/option_dict.h"
#include "sara/base/error.h"

namespace py = pybind11;

namespace sara::python {
namespace {

struct FromDict {
  const py::dict& keywords;
  std::vector<std::string> known = {};

  template <class T>
  void operator()(const char* name, T& field, const char*, const Legal& = {}) {
    known.emplace_back(name);
    if (!keywords.contains(name)) return;
    const py::object value = keywords[name];
    try {
      field = value.cast<T>();
    } catch (const py::cast_error&) {
      throw InvalidArgument(message(name, ": wrong type (got ", py::repr(value).cast<std::string>(), "). Fix: correct the value"));
    }
  }
};

struct ToDict {
  py::dict& out;
  template <class T>
  void operator()(const char* name, const T& field, const char*, const Legal& = {}) {
    out[name] = field;
  }
};

}  // namespace

AdamWOptions options_from(const py::dict& keywords) {
  AdamWOptions options;
  FromDict reader{keywords};
  options.visit(reader);
  for (const auto& [key, value] : keywords) {
    const auto name = py::str(key).cast<std::string>();
    if (std::find(reader.known.begin(), reader.known.end(), name) != reader.known.end()) continue;
    const auto near = nearest_name(name, reader.known);
    throw InvalidArgument(message(escaped(name), ": unknown option", near ? ". Fix: did you mean " + *near + "?" : std::string(". Fix: leave it out")));
  }
  return options;
}

void register_options(py::module_& module) {
  module.def("option_defaults", [] {
    py::dict out;
    AdamWOptions().visit(ToDict{out});
    return out;
  }, "Every option of the optimizer with its default");
}

}  // namespace sara::python
