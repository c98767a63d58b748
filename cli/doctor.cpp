// SPDX-License-Identifier: Apache-2.0
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>
#include <unistd.h>

#include <cmath>

#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "sara/base/error.h"
#include "sara/base/tensor_memory.h"
#include "sara/cuda/kernels.h"
#include "sara/ops/processor.h"

namespace sara::cli {
namespace {

struct DoctorOptions {
  bool json = false;
  template <class V>
  void visit(V&& v) {
    v("json", json, "Print one JSON object");
  }
};

// The sets of instructions that kernels of ours are chosen for here.
std::string cpu_kernels() {
  std::string names = has_avx512() ? "avx512" : "portable";
  if (has_avx512_bf16()) names += ", avx512_bf16";
  if (has_tiles()) names += ", amx_bf16";
  return names;
}

Json findings() {
  const double gib = 1024.0 * 1024.0 * 1024.0;
  const double memory = double(sysconf(_SC_PHYS_PAGES)) * double(sysconf(_SC_PAGE_SIZE)) / gib;
  Json out;
  out["sara"] = version();
  out["commit"] = commit();
  out["torch"] = TORCH_VERSION;
  out["cpu_capability"] = at::get_cpu_capability();
  out["cpu_kernels"] = cpu_kernels();
  out["threads"] = at::get_num_threads();
  out["cores"] = sysconf(_SC_NPROCESSORS_ONLN);
  out["memory_gib"] = std::round(memory * 10) / 10;
  out["tensor_memory"] = tensor_memory();
  out["cuda_build"] = at::detail::getCUDAHooks().isBuilt();
  out["cuda_devices"] = at::detail::getCUDAHooks().isBuilt() ? int(at::detail::getCUDAHooks().deviceCount()) : 0;
  out["cuda_kernels"] = cuda::kernels(torch::kCUDA) != nullptr;
  try {
    out["default_model"] = model_path({});
  } catch (const BadFile& missing) {
    out["default_model"] = "missing: " + missing.path();
  }
  return out;
}

}  // namespace

Command doctor_command() {
  auto options = std::make_shared<DoctorOptions>();
  Command command("doctor", "Show what sara finds on this machine");
  command.example("sara doctor").add(*options).on_run([options](const Command&) {
    const Json found = findings();
    if (options->json) return print(found.dump(2) + "\n");
    for (const auto& [key, value] : found.items()) {
      print(key + ": " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n");
    }
  });
  return command;
}

}  // namespace sara::cli
