// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/files/json.h"
#include "sara/weights/tensor_file.h"

// A probe runs one piece of the library for a Python test: tensors and a JSON config in, tensors out.
//   build/tests/sara_probe NAME IN.safetensors OUT.safetensors
// IN's metadata key "config" is the JSON. One file per probe: SARA_PROBE(name) { out["y"] = f(in.tensors.at("x")); }
namespace sara::tests {

struct Probe {
  Json config;
  TensorMap tensors;
};

using ProbeFunction = void (*)(const Probe& in, TensorMap& out);
bool add_probe(const char* name, ProbeFunction function);

#define SARA_PROBE(name)                                                                                     \
  static void probe_##name(const ::sara::tests::Probe& in, ::sara::TensorMap& out);                          \
  [[maybe_unused]] static const bool probe_##name##_added = ::sara::tests::add_probe(#name, probe_##name);   \
  static void probe_##name([[maybe_unused]] const ::sara::tests::Probe& in, [[maybe_unused]] ::sara::TensorMap& out)

}  // namespace sara::tests
