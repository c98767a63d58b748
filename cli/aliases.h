// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sara::cli {

// Flags that the training scripts of diffusers and kohya use, so that a copied command works here, or says why not.

// The fields that `name` (snake_case) may stand for; the first one that the verb has is meant. Empty: not an alias.
std::vector<std::string> alias_targets(const std::string& name);

// `value` of alias `name` in our words: --mixed_precision no is --precision fp32.
std::string alias_value(const std::string& name, const std::string& value);

// The value of ours that a switch of theirs stands for: --center_crop is --crop center.
std::optional<std::string> alias_fixed_value(const std::string& name);

// The one value of theirs that a switch of ours stands for: --resume_from_checkpoint latest is --resume.
std::optional<std::string> alias_only_value(const std::string& name);

// Why a flag those scripts know is not taken here, and what to do; nothing for any other name.
std::optional<std::string> unsupported_reason(const std::string& name);

// Every alias of a field, for the reference page.
std::vector<std::string> aliases_of(const std::string& field);

}  // namespace sara::cli
