// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/vqa.h"

#include <filesystem>
#include <map>

#include "sara/base/error.h"
#include "sara/data/captions.h"
#include "sara/data/json_lines.h"
#include "sara/files/input_file.h"
#include "sara/files/json.h"

namespace sara {
namespace {

namespace fs = std::filesystem;
using Questions = std::vector<std::string>;

constexpr const char* kHowToAsk = "Fix: give --questions FILE.jsonl with text and questions; docs/evaluation.md shows how to make it";

std::string questions_file(const ImageSet& set, const std::optional<std::string>& given) {
  if (given) return *given;
  for (const char* name : {"prompts.jsonl", "metadata.jsonl"})
    if (const auto path = fs::path(set.folder) / name; fs::exists(path)) return path.string();
  throw InvalidArgument(message("--questions: missing, and ", escaped(set.folder), " has neither prompts.jsonl nor metadata.jsonl. ", kHowToAsk));
}

Questions questions_in(const Json& row, const std::string& file, int64_t line) {
  const auto found = row.find("questions");
  if (found == row.end()) throw BadFile(file, message("line ", line, " has no questions. ", kHowToAsk));
  Questions out;
  if (found->is_array()) {
    for (const auto& one : *found) {
      if (!one.is_string() || trimmed(one.get_ref<const std::string&>()).empty()) throw BadFile(file, message("line ", line, ": a question is not a text, or empty"));
      out.emplace_back(trimmed(one.get_ref<const std::string&>()));
      if (!out.back().ends_with('?')) out.back() += '?';
    }
  }
  if (out.empty()) throw BadFile(file, message("line ", line, ": questions is not a list of one text or more (got ", escaped(found->dump()), ")"));
  return out;
}

const std::string* text_at(const Json& row, const char* key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_string() ? &found->get_ref<const std::string&>() : nullptr;
}

}  // namespace

std::vector<std::vector<std::string>> read_questions(const ImageSet& set, const std::optional<std::string>& given) {
  const std::string file = questions_file(set, given), text = read_file(file);
  if (const auto bad = first_bad_utf8(text)) throw BadFile(file, "is not UTF-8. Fix: save the file as UTF-8", *bad);
  std::map<std::string, Questions> by_picture, by_caption;
  for_each_json_line(text, file, [&](const Json& row, int64_t line) {
    const auto *name = text_at(row, "file_name"), *caption = text_at(row, "text");
    if (!name && !caption) throw BadFile(file, message("line ", line, " has neither file_name nor text"));
    const bool fresh = name ? by_picture.emplace((fs::path(set.folder) / *name).lexically_normal().string(), questions_in(row, file, line)).second
                            : by_caption.emplace(std::string(trimmed(*caption)), questions_in(row, file, line)).second;
    if (!fresh) throw BadFile(file, message("line ", line, " asks about \"", escaped(name ? *name : *caption), "\" once more. Fix: put all its questions into one line"));
  });
  std::vector<Questions> out;
  std::vector<std::string> without;
  for (size_t i = 0; i < set.paths.size(); ++i) {
    const auto own = by_picture.find(fs::path(set.paths[i]).lexically_normal().string());
    const auto shared = set.captions.empty() ? by_caption.end() : by_caption.find(std::string(trimmed(set.captions[i])));
    if (own != by_picture.end())
      out.push_back(own->second);
    else if (shared != by_caption.end())
      out.push_back(shared->second);
    else
      without.push_back(escaped(fs::path(set.paths[i]).filename().string()));
  }
  if (!without.empty())
    throw BadFile(file, message("asks nothing about ", without.size(), " of ", set.count(), " pictures: ", first_five(without), ". Fix: add a line with the picture's file_name or prompt (text)"));
  return out;
}

double b_vqa(const std::vector<std::vector<double>>& yes) {
  if (yes.empty()) throw InvalidArgument("B-VQA: no pictures");
  double sum = 0;
  for (const auto& answers : yes) {
    if (answers.empty()) throw InvalidArgument("B-VQA: a picture without an answer");
    double product = 1;
    for (const double share : answers) product *= share;
    sum += product;
  }
  return sum / static_cast<double>(yes.size());
}

}  // namespace sara
