// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace sara {

// Lines for the person who waits, on stderr; stdout carries results only. Safe from any thread.
void log_info(std::string_view text);
void log_warning(std::string_view text);  // prefixed "sara: warning: "

// One line redrawn in place on a terminal; a plain line at most every `plain_seconds` elsewhere.
void log_progress(std::string_view text, bool last = false, double plain_seconds = 10.0);

// Silences info and progress (not warnings), for tests and --quiet.
void set_quiet(bool quiet);
// Silences warnings too, in a process whose twin tells the same.
void set_silent(bool silent);

}  // namespace sara
