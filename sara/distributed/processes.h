// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace sara {

// Who this process is among those that train one model together; the default is a run of one process.
struct Processes {
  int64_t rank = 0, count = 1;              // RANK, WORLD_SIZE
  int64_t local_rank = 0, local_count = 1;  // LOCAL_RANK, LOCAL_WORLD_SIZE: among those on this machine
  std::string address;                      // MASTER_ADDR: where rank 0 listens
  int64_t port = 0;                         // MASTER_PORT
  bool launcher_listens = false;            // TORCHELASTIC_USE_AGENT_STORE: the launcher listens there instead
};

// Read from the environment as torchrun sets it. Without WORLD_SIZE, or with WORLD_SIZE 1, a run of one process. By hand, LOCAL_RANK and
// LOCAL_WORLD_SIZE may be left out: then all processes are on one machine. Throws InvalidArgument naming the variable that is missing,
// no number or out of range.
Processes processes_from_environment();

// CPU threads of one process when nobody says otherwise: the cores that this process may use, shared with the others on the
// machine. OMP_NUM_THREADS above 1 wins; torchrun sets it to 1 where it is not set, so 1 says nothing.
int64_t default_threads(const Processes& processes);

}  // namespace sara
