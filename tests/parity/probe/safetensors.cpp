// SPDX-License-Identifier: Apache-2.0
#include "sara/files/safetensors.h"

#include <sys/mman.h>
#include <torch/types.h>
#include <unistd.h>

#include "sara/base/error.h"
#include "tests/parity/probe/probe.h"

namespace {

// Why the reader refuses a file of these bytes; null when it takes it.
sara::Json verdict(const uint8_t* bytes, int64_t size) {
  const int file = memfd_create("case", MFD_CLOEXEC);
  SARA_CHECK(file >= 0 && write(file, bytes, static_cast<size_t>(size)) == size, "no memory file");
  sara::Json result;
  try {
    const sara::SafetensorsReader reader(sara::message("/proc/self/fd/", file));
  } catch (const sara::BadFile& error) {
    result = error.reason();
  }
  close(file);
  return result;
}

}  // namespace

// tensors "bytes": many files one after the other, "sizes" [n] -> "report": bytes of a JSON list of n reasons or nulls.
SARA_PROBE(safetensors_verdicts) {
  const torch::Tensor bytes = in.tensors.at("bytes").contiguous(), sizes = in.tensors.at("sizes").contiguous();
  sara::Json report = sara::Json::array();
  int64_t at = 0;
  for (int64_t i = 0; i < sizes.numel(); ++i) {
    const int64_t size = sizes.const_data_ptr<int64_t>()[i];
    report.push_back(verdict(bytes.const_data_ptr<uint8_t>() + at, size));
    at += size;
  }
  const std::string text = report.dump();
  out["report"] = torch::tensor(at::ArrayRef<uint8_t>(reinterpret_cast<const uint8_t*>(text.data()), text.size()), torch::kUInt8);
}

// Writes config "path" with, for every name of config "dtypes", a tensor of that name and type cut from "bytes", shape [8].
SARA_PROBE(safetensors_write) {
  std::vector<sara::TensorSource> sources;
  for (const sara::Json& name : in.config.at("dtypes")) {
    const auto text = name.get<std::string>();
    sources.push_back({text, sara::dtype_named(text).value(), {8}, in.tensors.at("bytes").const_data_ptr<uint8_t>()});
  }
  sara::write_safetensors(in.config.at("path").get<std::string>(), sources, {{"unicode", "\xC3\xA9\"\\\n"}});
  out["done"] = torch::ones({1});
}
