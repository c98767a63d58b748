// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/input_file.h"
#include "sara/files/json.h"
#include "sara/tokenizers/clip_words.h"
#include "sara/tokenizers/protobuf.h"
#include "sara/tokenizers/unigram.h"

namespace sara {
namespace {

constexpr int kSentinels = 100;

[[noreturn]] void refuse_file(const std::string& path, const std::string& why) {
  throw BadFile(path, message(why, ". Fix: use the tokenizer_3 folder of a Stable Diffusion 3 model"));
}

bool is_utf8(const std::string& text) {
  try {
    check_utf8(text);
  } catch (const InvalidArgument&) {
    return false;
  }
  return true;
}

// nmt_nfkc's table, alone or in a sequence; runs of spaces need no rule of their own, for words are cut at them.
Charsmap charsmap_of(const Json& normalizer, const std::string& path) {
  if (normalizer.is_null()) return {};
  if (!normalizer.is_object()) refuse_file(path, "has a malformed normalizer");
  const auto type = normalizer.value("type", Json());
  if (type == "Precompiled") {
    const auto table = normalizer.value("precompiled_charsmap", Json());
    if (!table.is_string()) refuse_file(path, "its normalizer has no table");
    return Charsmap(base64_decoded(table.get<std::string>(), path), path);
  }
  if (type == "Sequence") {
    Charsmap map;
    for (const Json& part : normalizer.value("normalizers", Json::array())) {
      const auto kind = part.is_object() ? part.value("type", Json()) : Json();
      if (kind == "Precompiled")
        map = charsmap_of(part, path);
      else if (kind != "Replace" || part.value("content", Json()) != " ")
        refuse_file(path, message("unsupported normalizer ", escaped(kind.dump())));
    }
    return map;
  }
  refuse_file(path, message("unsupported normalizer ", escaped(type.dump())));
}

void check_words(const Json& pre_tokenizer, const std::string& path) {
  const auto type = pre_tokenizer.is_object() ? pre_tokenizer.value("type", Json()) : Json();
  if (type == "Metaspace" || type == "WhitespaceSplit") return;
  if (type != "Sequence") refuse_file(path, message("unsupported pre_tokenizer ", escaped(type.dump())));
  for (const Json& part : pre_tokenizer.value("pretokenizers", Json::array())) check_words(part, path);
}

UnigramVocabulary read_unigram_json(const std::string& path) {
  const Json json = read_json(path);
  const Json model = json.is_object() ? json.value("model", Json()) : Json();
  if (!model.is_object() || model.value("type", Json()) != "Unigram") refuse_file(path, "is not a unigram tokenizer");
  if (model.value("byte_fallback", Json(false)) == true) refuse_file(path, "falls back to bytes, which T5 does not");
  UnigramVocabulary vocabulary;
  vocabulary.source = path;
  for (const Json& entry : model.value("vocab", Json::array())) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number())
      refuse_file(path, message("has a malformed piece ", escaped(entry.dump().substr(0, 60))));
    vocabulary.pieces.emplace_back(entry[0].get<std::string>(), entry[1].get<double>());
  }
  const Json unknown = model.value("unk_id", Json());
  if (!unknown.is_number_integer()) refuse_file(path, "names no unknown piece");
  vocabulary.unknown_id = unknown.get<int64_t>();
  vocabulary.charsmap = charsmap_of(json.value("normalizer", Json()), path);
  check_words(json.value("pre_tokenizer", Json()), path);
  for (const Json& token : json.value("added_tokens", Json::array())) {
    if (!token.is_object() || !token.value("content", Json()).is_string() || !token.value("id", Json()).is_number_unsigned())
      refuse_file(path, message("has a malformed added token ", escaped(token.dump().substr(0, 60))));
    vocabulary.added.push_back({token["content"].get<std::string>(), token["id"].get<int64_t>(), false});
  }
  return vocabulary;
}

UnigramVocabulary read_sentencepiece(const std::string& path) {
  enum Type : uint64_t { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };
  const std::string bytes = read_file(path);
  UnigramVocabulary vocabulary;
  vocabulary.source = path;
  vocabulary.unknown_id = -1;
  for (ProtobufFields fields(bytes, vocabulary.source); fields.next();) {
    if (fields.number() == 1) {  // a piece
      std::string text;
      double score = 0;
      uint64_t type = kNormal;
      for (ProtobufFields piece(fields.text(), vocabulary.source); piece.next();) {
        if (piece.number() == 1) text = piece.text();
        if (piece.number() == 2) score = piece.real();
        if (piece.number() == 3) type = piece.integer();
      }
      if (!is_utf8(text) || !std::isfinite(score)) refuse_file(path, message("has a malformed piece ", escaped(text)));
      if (type == kByte) refuse_file(path, "falls back to bytes, which T5 does not");
      const auto id = int64_t(vocabulary.pieces.size());
      if (type == kUnknown) vocabulary.unknown_id = id;
      if (type == kUnknown || type == kControl) vocabulary.added.push_back({text, id, false});
      vocabulary.pieces.emplace_back(std::move(text), score);
    } else if (fields.number() == 2) {  // how it was trained
      for (ProtobufFields trainer(fields.text(), vocabulary.source); trainer.next();)
        if (trainer.number() == 3 && trainer.integer() != 1) refuse_file(path, "is not a unigram model");
    } else if (fields.number() == 3) {  // normalization
      for (ProtobufFields normalizer(fields.text(), vocabulary.source); normalizer.next();)
        if (normalizer.number() == 2) vocabulary.charsmap = Charsmap(normalizer.text(), path);
    }
  }
  for (int i = kSentinels - 1; i >= 0; --i) {
    const std::string sentinel = message("<extra_id_", i, ">");
    vocabulary.added.push_back({sentinel, int64_t(vocabulary.pieces.size()), false});
    vocabulary.pieces.emplace_back(sentinel, 0.0);
  }
  return vocabulary;
}

}  // namespace

UnigramVocabulary read_unigram_folder(const std::string& folder) {
  const auto file = [&](const char* name) { return (std::filesystem::path(folder) / name).string(); };
  std::error_code failure;
  if (std::filesystem::exists(file("tokenizer.json"), failure)) return read_unigram_json(file("tokenizer.json"));
  if (std::filesystem::exists(file("spiece.model"), failure)) return read_sentencepiece(file("spiece.model"));
  throw BadFile(folder, "has no tokenizer (expected tokenizer.json or spiece.model). Fix: download the model again");
}

}  // namespace sara
