// SPDX-License-Identifier: Apache-2.0
#include "sara/train/stop_signal.h"

#include <unistd.h>

#include <csignal>

namespace sara {
namespace {

volatile std::sig_atomic_t pending = 0;
constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
struct sigaction previous[3];

int code_of(int signal) { return signal == SIGINT ? 130 : 143; }

void handle(int signal) {
  if (pending) _exit(code_of(signal));
  pending = signal;
}

}  // namespace

StopSignal::StopSignal() {
  pending = 0;
  for (int i = 0; i < 3; ++i) {
    sigaction(kSignals[i], nullptr, &previous[i]);
    if (kSignals[i] == SIGHUP && previous[i].sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = handle;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(kSignals[i], &action, nullptr);
  }
}

StopSignal::~StopSignal() {
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &previous[i], nullptr);
}

int StopSignal::received() { return pending; }

int StopSignal::exit_code() { return code_of(pending); }

}  // namespace sara
