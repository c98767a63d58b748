// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include "sara/base/random.h"
#include "tests/parity/probe/probe.h"

// config: seed, stream, a, b. Gives the stream's key, with which a torch generator can be seeded.
SARA_PROBE(stream_key) {
  const auto key = sara::stream_key(in.config.at("seed").get<uint64_t>(), in.config.at("stream").get<std::string>(), in.config.value("a", uint64_t{0}), in.config.value("b", uint64_t{0}));
  out["key"] = torch::tensor({static_cast<int64_t>(key)}, torch::kInt64);
}
