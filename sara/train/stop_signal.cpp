// SPDX-License-Identifier: Apache-2.0
#include "sara/train/stop_signal.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

namespace sara {
namespace {

volatile std::sig_atomic_t pending = 0;
int adopted = 0;  // that of another process
volatile std::sig_atomic_t asked_to_save = 0;
constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
constexpr int kCount = 4;
struct sigaction previous[kCount];
char last_words[1024];
volatile std::sig_atomic_t last_words_size = 0;

int code_of(int signal) { return signal == SIGINT ? 130 : 143; }

void handle(int signal) {
  if (signal == SIGUSR1) {
    asked_to_save = 1;
    return;
  }
  if (pending) {
    if (write(STDERR_FILENO, last_words, static_cast<size_t>(last_words_size)) < 0) _exit(code_of(signal));  // there is no other way to tell
    _exit(code_of(signal));
  }
  pending = signal;
}

}  // namespace

StopSignal::StopSignal() {
  pending = 0;
  adopted = 0;
  asked_to_save = 0;
  for (int i = 0; i < kCount; ++i) {
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
  for (int i = 0; i < kCount; ++i) sigaction(kSignals[i], &previous[i], nullptr);
}

int StopSignal::received() { return pending ? pending : adopted; }

void StopSignal::adopt(int signal) { adopted = signal; }

bool StopSignal::save_asked() { 
  const bool asked = asked_to_save != 0;
  asked_to_save = 0;
  return asked;
}

void StopSignal::set_last_words(std::string_view line) {
  last_words_size = 0;  // a signal in between finds nothing to say
  const auto size = std::min<size_t>(line.size(), 1000);
  std::memcpy(last_words, line.data(), size);
  last_words[size] = '\n';
  last_words_size = static_cast<int>(size) + 1;
}

int StopSignal::exit_code() { return code_of(received()); }

}  // namespace sara
