// SPDX-License-Identifier: Apache-2.0
#include "sara/distributed/processes.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>

#include "sara/base/error.h"

namespace sara {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* text = std::getenv(name);
  return text && *text ? std::optional<std::string>(text) : std::nullopt;
}

std::string needed(const char* name) {
  if (const auto text = variable(name)) return *text;
  throw InvalidArgument(message(name, ": not set, but WORLD_SIZE is. Fix: start with torchrun --no-python, or set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT"));
}

int64_t number(const char* name, const std::string& text, int64_t low, int64_t high) {
  int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure == std::errc() && end == text.data() + text.size() && low <= value && value <= high) return value;
  throw InvalidArgument(message(name, ": expected a number from ", low, " to ", high, ", got ", escaped(text), ". Fix: correct the environment variable"));
}

}  // namespace

Processes processes_from_environment() {
  constexpr int64_t kMost = 1 << 20;
  Processes out;
  const auto count = variable("WORLD_SIZE");
  if (!count) return out;
  out.count = number("WORLD_SIZE", *count, 1, kMost);
  if (out.count == 1) return out;
  out.rank = number("RANK", needed("RANK"), 0, out.count - 1);
  out.local_count = number("LOCAL_WORLD_SIZE", variable("LOCAL_WORLD_SIZE").value_or(*count), 1, out.count);
  out.local_rank = number("LOCAL_RANK", variable("LOCAL_RANK").value_or(std::to_string(out.rank)), 0, out.local_count - 1);
  out.address = needed("MASTER_ADDR");
  out.port = number("MASTER_PORT", needed("MASTER_PORT"), 1, 65535);
  out.launcher_listens = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  return out;
}

int64_t default_threads(const Processes& processes) {
  if (const auto threads = variable("OMP_NUM_THREADS"); threads && *threads != "1") return number("OMP_NUM_THREADS", *threads, 1, 4096);
  return std::max<int64_t>(1, static_cast<int64_t>(std::thread::hardware_concurrency()) / processes.local_count);
}

}  // namespace sara
