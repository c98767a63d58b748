// SPDX-License-Identifier: Apache-2.0
// Graphs of the emulated device. Recorded work is done, since that is how its operations find out what they give; then all memory is put back as it was, and what
// is new in it is NaN: as on a GPU, nothing has happened until the graph is started.
#include "tests/cuda/emulated_graph.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "sara/cuda/device_graph.h"
#include "sara/cuda/emulation.h"
#include "tests/cuda/device.h"
#include "tests/cuda/emulated_backend.h"

namespace sara {
namespace {

struct Recording {
  std::vector<std::function<void()>> work;
  std::vector<void*> given_back;  // meanwhile
};
Recording* recording = nullptr;
int64_t recorded = 0;  // graphs

std::mutex memory_lock;  // a backward pass has a thread of its own
std::map<void*, size_t> blocks;

using Contents = std::map<void*, std::vector<char>>;
Contents contents() {
  Contents out;
  for (const auto& [memory, bytes] : blocks) out.emplace(memory, std::vector<char>(static_cast<char*>(memory), static_cast<char*>(memory) + bytes));
  return out;
}

void put_back(const Contents& before) {
  for (const auto& [memory, bytes] : blocks) {
    if (const auto known = before.find(memory); known != before.end())
      std::memcpy(memory, known->second.data(), bytes);
    else
      std::memset(memory, 0xff, bytes);
  }
}

void release(void* memory) {
  const std::lock_guard lock(memory_lock);
  const auto block = blocks.find(memory);
  std::memset(memory, 0xff, block->second);
  std::free(memory);
  blocks.erase(block);
}

class EmulatedGraph : public cuda::DeviceGraph {
 public:
  ~EmulatedGraph() override {
    done_.work.clear();
    for (void* memory : done_.given_back) release(memory);
  }
  void record(const std::function<void()>& work) override {
    const Contents before = contents();
    recording = &done_;
    cuda::emulation().record = record_work;
    try {
      work();
    } catch (...) {
      stop();
      throw;
    }
    stop();
    put_back(before);
    ++recorded;
  }
  void replay() override {
    for (const auto& again : done_.work) again();
  }

 private:
  static void stop() {
    recording = nullptr;
    cuda::emulation().record = nullptr;
  }
  Recording done_;
};

}  // namespace

bool is_recording() { return recording; }
std::optional<int64_t> graphs_recorded() { return recorded; }
void record_work(std::function<void()> again) { recording->work.push_back(std::move(again)); }

void* device_memory(size_t bytes) {
  const std::lock_guard lock(memory_lock);
  bytes = bytes ? bytes : 1;
  void* const memory = std::malloc(bytes);
  std::memset(memory, 0xff, bytes);
  blocks.emplace(memory, bytes);
  return memory;
}

void give_back(void* memory) {
  if (recording)
    recording->given_back.push_back(memory);
  else
    release(memory);
}

namespace cuda {

std::unique_ptr<DeviceGraph> device_graph(const torch::Device& device) { return device == emulated_device() ? std::make_unique<EmulatedGraph>() : nullptr; }

}  // namespace cuda
}  // namespace sara
