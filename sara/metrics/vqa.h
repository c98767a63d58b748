// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sara/metrics/image_set.h"

namespace sara {

// B-VQA of T2I-CompBench (Huang et al. 2023): a model is asked "a red apple?" for each noun phrase of the prompt; a picture's score
// is the product of the shares of yes, the score of a set the mean over its pictures.

// The questions about each picture of the set, from JSON lines with "questions", a list of texts (a noun phrase gets its question
// mark here), and either "file_name" (about one picture) or "text" alone (about every picture of that caption). Without a file:
// prompts.jsonl or metadata.jsonl in the set's folder.
// Throws BadFile naming the line of a malformed row, and pictures nothing is asked about; InvalidArgument when there is no file.
std::vector<std::vector<std::string>> read_questions(const ImageSet& set, const std::optional<std::string>& file);

// Throws InvalidArgument for a picture without an answer, and for no picture at all.
double b_vqa(const std::vector<std::vector<double>>& yes);

}  // namespace sara
