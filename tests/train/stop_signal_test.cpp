// SPDX-License-Identifier: Apache-2.0
#include "sara/train/stop_signal.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

namespace sara {
namespace {

// Runs `body` in a child; gives its exit code, or 1000 + the signal that killed it.
template <class Body>
int outcome(Body&& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

TEST(StopSignal, OneSignalIsRememberedWithItsExitCode) {
  for (const auto& [signal, code] : {std::pair{SIGINT, 130}, {SIGTERM, 143}, {SIGHUP, 143}}) {
    const StopSignal stop;
    EXPECT_EQ(StopSignal::received(), 0);
    raise(signal);
    EXPECT_EQ(StopSignal::received(), signal);
    EXPECT_EQ(StopSignal::exit_code(), code);
  }
}

TEST(StopSignal, ASecondSignalEndsTheProcessAtOnce) {
  EXPECT_EQ(outcome([] {
              const StopSignal stop;
              raise(SIGINT);
              raise(SIGINT);
            }),
            130);
  EXPECT_EQ(outcome([] {
              const StopSignal stop;
              raise(SIGINT);
              raise(SIGTERM);
            }),
            143);
}

TEST(StopSignal, ASecondSignalSaysWhatIsSaved) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  EXPECT_EQ(outcome([&] {
              dup2(pipe_ends[1], STDERR_FILENO);
              StopSignal::set_last_words(std::string(2000, 'x'));
              StopSignal::set_last_words("step-8 is saved");
              const StopSignal stop;
              raise(SIGTERM);
              raise(SIGTERM);
            }),
            143);
  char text[100] = {};
  EXPECT_EQ(read(pipe_ends[0], text, sizeof text - 1), 16);
  EXPECT_STREQ(text, "step-8 is saved\n");
  for (const int end : pipe_ends) close(end);
}

TEST(StopSignal, AUserSignalAsksForOneSaveAndStopsNothing) {
  const StopSignal stop;
  EXPECT_FALSE(StopSignal::save_asked());
  raise(SIGUSR1);
  raise(SIGUSR1);
  EXPECT_TRUE(StopSignal::save_asked());
  EXPECT_FALSE(StopSignal::save_asked());
  EXPECT_EQ(StopSignal::received(), 0);
}

TEST(StopSignal, SignalsDoWhatTheyDidBeforeWhenItIsGone) {
  EXPECT_EQ(outcome([] {
              { const StopSignal stop; }
              raise(SIGTERM);
            }),
            1000 + SIGTERM);
}

TEST(StopSignal, AnIgnoredHangUpStaysIgnored) {
  EXPECT_EQ(outcome([] {
              std::signal(SIGHUP, SIG_IGN);
              const StopSignal stop;
              raise(SIGHUP);
              raise(SIGHUP);
              if (StopSignal::received() != 0) _exit(7);
            }),
            0);
}

}  // namespace
}  // namespace sara
