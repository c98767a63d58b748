// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/files/json.h"

namespace sara {

// The loss of every step as an SVG picture: the single steps faint, their running mean on top.
std::string loss_chart(const std::vector<double>& losses);

// One self-contained page: summary, loss chart, samples (`<folder>/samples/{before,step-*,after}/N.png`, embedded, a column each),
// configuration. No script; opens offline; all text is HTML-escaped.
std::string report_page(const std::string& folder, const Json& summary, const std::string& config_toml, const std::vector<double>& losses,
                        const std::vector<std::string>& prompts);

}  // namespace sara
