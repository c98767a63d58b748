// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sara {

// While one lives, SIGINT, SIGTERM and SIGHUP ask for a clean stop instead of ending the process: the loop looks at
// received() after every step. A second signal ends the process at once with the same exit code. SIGHUP that the caller
// ignores (nohup) stays ignored. One at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  static int received();   // the signal's number, 0: none
  static int exit_code();  // 130 for SIGINT, 143 for the others
};

}  // namespace sara
