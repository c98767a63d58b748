// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/vocabulary.h"

#include <filesystem>
#include <unordered_set>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"
#include "sara/files/json.h"

namespace sara {
namespace {

std::unordered_map<std::string, int64_t> read_ids(const Json& json, const std::string& path) {
  if (!json.is_object() || json.empty())
    throw BadFile(path, message("no tokens (expected an object of token: id, got ", json.type_name(),
                                "). Fix: take the file from the model's tokenizer folder again"));
  std::unordered_map<std::string, int64_t> ids;
  std::unordered_set<int64_t> taken;
  for (const auto& [token, id] : json.items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0)
      throw BadFile(path, message("token \"", escaped(token), "\" has a wrong id (expected an integer >= 0, got ", id.dump(),
                                  "). Fix: take the file from the model's tokenizer folder again"));
    if (!taken.insert(id.get<int64_t>()).second)
      throw BadFile(path, message("id ", id.dump(), " is given to two tokens, the second is \"", escaped(token),
                                  "\". Fix: take the file from the model's tokenizer folder again"));
    ids.emplace(token, id.get<int64_t>());
  }
  return ids;
}

// `where` is "line 17" or "merge 17".
void add_merge(Vocabulary& vocabulary, std::string left, std::string right, const std::string& path, const std::string& where) {
  for (const std::string& part : {left, right, left + right})
    if (!vocabulary.ids.contains(part))
      throw BadFile(path, message(where, ": \"", escaped(part), "\" is not in the vocabulary ", vocabulary.source,
                                  ". Fix: take both files from the same model"));
  vocabulary.merges.emplace_back(std::move(left), std::move(right));
}

// Cuts `left right` at its only space.
void add_merge(Vocabulary& vocabulary, std::string_view text, const std::string& path, const std::string& where) {
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == text.size() || text.find(' ', space + 1) != std::string_view::npos)
    throw BadFile(path, message(where, " is not a merge (expected two tokens and one space between, got \"", escaped(text.substr(0, 60)),
                                "\"). Fix: take the file from the model's tokenizer folder again"));
  add_merge(vocabulary, std::string(text.substr(0, space)), std::string(text.substr(space + 1)), path, where);
}

}  // namespace

Vocabulary read_vocabulary(const std::string& vocab_path, const std::string& merges_path) {
  Vocabulary vocabulary{read_ids(read_json(vocab_path), vocab_path), {}, vocab_path};
  const std::string text = read_file(merges_path);
  int64_t line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.find('\n', begin);
    if (end == std::string::npos) end = text.size();
    std::string_view line(text.data() + begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    begin = end + 1;
    ++line_number;
    if (line.starts_with("#version") || (line.empty() && begin >= text.size())) continue;
    add_merge(vocabulary, line, merges_path, message("line ", line_number));
  }
  return vocabulary;
}

Vocabulary read_tokenizer_json(const std::string& path) {
  const Json json = read_json(path);
  const auto model = json.find("model");
  if (model == json.end() || !model->is_object() || model->value("type", Json("BPE")) != "BPE" || !model->contains("vocab") ||
      !model->contains("merges") || !model->at("merges").is_array())
    throw BadFile(path,
                  "model is not byte pair encoding (expected model.type \"BPE\" with vocab and merges). "
                  "Fix: use the tokenizer folder of a CLIP text encoder");
  Vocabulary vocabulary{read_ids(model->at("vocab"), path), {}, path};
  int64_t number = 0;
  for (const Json& merge : model->at("merges")) {
    const std::string where = message("merge ", ++number);
    if (merge.is_string())
      add_merge(vocabulary, merge.get_ref<const std::string&>(), path, where);
    else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      add_merge(vocabulary, merge[0].get<std::string>(), merge[1].get<std::string>(), path, where);
    else
      throw BadFile(path, message(where, " is not a merge (expected two tokens, got ", merge.dump().substr(0, 60),
                                  "). Fix: take the file from the model's tokenizer folder again"));
  }
  return vocabulary;
}

Vocabulary read_vocabulary_folder(const std::string& folder) {
  namespace fs = std::filesystem;
  const std::string vocab = folder + "/vocab.json", merges = folder + "/merges.txt", whole = folder + "/tokenizer.json";
  if (fs::exists(vocab) && fs::exists(merges)) return read_vocabulary(vocab, merges);
  if (fs::exists(whole)) return read_tokenizer_json(whole);
  throw BadFile(folder,
                "no tokenizer here (expected vocab.json and merges.txt, or tokenizer.json). "
                "Fix: point at a model folder that has tokenizer/");
}

}  // namespace sara
