// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <exception>

#include "sara/files/safetensors.h"
#include "tests/parity/probe/probe.h"

namespace sara::tests {
namespace {

std::map<std::string, ProbeFunction>& probes() {
  static std::map<std::string, ProbeFunction> table;
  return table;
}

}  // namespace

bool add_probe(const char* name, ProbeFunction function) { return probes().emplace(name, function).second; }

static int run(const char* name, const char* in_path, const char* out_path) {
  const auto found = probes().find(name);
  if (found == probes().end()) {
    std::fprintf(stderr, "no probe named %s\n", name);
    return 2;
  }
  const SafetensorsReader reader(in_path);
  const auto config = reader.metadata().find("config");
  Probe in{config == reader.metadata().end() ? Json::object() : parse_json(config->second, "config"), load_tensors(in_path)};
  TensorMap out;
  found->second(in, out);
  save_tensors(out_path, out);
  return 0;
}

}  // namespace sara::tests

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: sara_probe NAME IN.safetensors OUT.safetensors\n");
    return 2;
  }
  try {
    return sara::tests::run(argv[1], argv[2], argv[3]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
