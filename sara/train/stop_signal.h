// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace sara {

// While one lives, SIGINT, SIGTERM and SIGHUP ask for a clean stop instead of ending the process: the loop looks at
// received() after every step. A second signal ends the process at once with the same exit code. SIGHUP that the caller
// ignores (nohup) stays ignored. SIGUSR1 asks for a save and nothing else. One object at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  static int received();   // the signal's number, 0: none
  // Another process of the run received this one (0: none did): received() and exit_code() tell it from now
  // on. The first signal that comes here afterwards is not a second one.
  static void adopt(int signal);
  static int exit_code();  // 130 for SIGINT, 143 for the others

  static bool save_asked();  // true once for any number of SIGUSR1 since the last call

  // What a second signal writes to stderr before it ends the process: what is saved already, in one line of at most 1000 bytes.
  static void set_last_words(std::string_view line);
};

}  // namespace sara
