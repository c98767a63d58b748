// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/special_tokens.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "sara/base/error.h"
#include "sara/files/json.h"

namespace sara {
namespace {

constexpr double kNotSet = 1e9;

class Reader {
 public:
  Reader(const std::string& folder, const Vocabulary& vocabulary) : folder_(folder), vocabulary_(vocabulary) {}

  SpecialTokens read() {
    const Json config = optional_file("tokenizer_config.json");
    const Json map = optional_file("special_tokens_map.json");
    const Json later = optional_file("added_tokens.json");
    const Json whole = optional_file("tokenizer.json");
    const bool listed = config.contains("added_tokens_decoder");

    path_ = folder_ + "/tokenizer_config.json";
    refuse_unlike_clip(config);
    read_max_length(config);
    read_named(config);
    if (!listed) {
      path_ = folder_ + "/special_tokens_map.json";
      read_named(map);
      path_ = folder_ + "/added_tokens.json";
      for (const auto& [content, id] : later.items()) add({content, integer(id), !named(content)});
      path_ = folder_ + "/tokenizer.json";
      for (const Json& token : whole.value("added_tokens", Json::array())) add(parse(token));
    } else {
      for (const auto& [id, token] : config.at("added_tokens_decoder").items()) {
        Parsed parsed = parse(token);
        parsed.id = integer(Json::parse(id, nullptr, false));
        add(parsed);
      }
    }
    return resolve();
  }

 private:
  struct Parsed {
    std::string content;
    std::optional<int64_t> id;
    bool normalized;
  };

  Json optional_file(const char* name) const {
    const std::string path = folder_ + "/" + name;
    if (!std::filesystem::exists(path)) return Json::object();
    Json json = read_json(path);
    if (!json.is_object()) throw BadFile(path, message("expected an object, got ", json.type_name()));
    return json;
  }

  int64_t integer(const Json& value) const {
    if (!value.is_number_integer() || value.get<int64_t>() < 0)
      throw BadFile(path_, message("wrong token id (expected an integer >= 0, got ", value.dump(), ")"));
    return value.get<int64_t>();
  }

  // A token is its text, or an object with content and flags.
  Parsed parse(const Json& token) const {
    if (token.is_string()) return {token.get<std::string>(), std::nullopt, false};
    if (!token.is_object() || !token.contains("content") || !token.at("content").is_string())
      throw BadFile(path_, message("wrong special token (expected a string or an object with content, got ", token.dump().substr(0, 60), ")"));
    for (const char* flag : {"lstrip", "rstrip", "single_word"})
      if (token.value(flag, Json(false)) == true)
        throw BadFile(path_,
                      message("token ", token.at("content").dump(), " sets ", flag, ", which CLIP's tokenizers do not use. Fix: set it to false"));
    Parsed parsed{token.at("content").get<std::string>(), std::nullopt, token.value("normalized", Json(false)) == true};
    if (token.contains("id")) parsed.id = integer(token.at("id"));
    return parsed;
  }

  bool named(const std::string& content) const { return std::ranges::find(added_, content, &Parsed::content) != added_.end(); }

  // Later sources win; an id once known stays.
  void add(Parsed token) {
    if (token.content.empty()) throw BadFile(path_, "a special token is empty");
    const auto found = std::ranges::find(added_, token.content, &Parsed::content);
    if (found == added_.end()) {
      added_.push_back(std::move(token));
    } else {
      found->normalized = token.normalized;
      if (token.id) found->id = token.id;
    }
  }

  void read_named(const Json& json) {
    const std::pair<const char*, std::string*> frame[] = {
        {"bos_token", &tokens_.first},   {"eos_token", &tokens_.last}, {"unk_token", &tokens_.unknown}, {"sep_token", nullptr},
        {"pad_token", &tokens_.padding}, {"cls_token", nullptr},       {"mask_token", nullptr}};
    for (const auto& [key, target] : frame) {
      const auto found = json.find(key);
      if (found == json.end() || found->is_null()) continue;
      const Parsed parsed = parse(*found);
      if (target) *target = parsed.content;
      add(parsed);
    }
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
      const auto found = json.find(key);
      if (found == json.end() || !found->is_array()) continue;
      for (const Json& token : *found) add(parse(token));
    }
  }

  void refuse_unlike_clip(const Json& config) const {
    const Json kind = config.value("tokenizer_class", Json("CLIPTokenizer"));
    if (kind != "CLIPTokenizer" && kind != "CLIPTokenizerFast")
      throw BadFile(path_, message("not a CLIP tokenizer (expected tokenizer_class CLIPTokenizer, got ", kind.dump(),
                                   "). Fix: use the tokenizer folder of a CLIP text encoder"));
    for (const char* side : {"padding_side", "truncation_side"})
      if (config.value(side, Json("right")) != "right")
        throw BadFile(path_, message(side, " is not supported (expected \"right\", got ", config.at(side).dump(), ")"));
  }

  void read_max_length(const Json& config) {
    const auto found = config.find("model_max_length");
    if (found == config.end() || found->is_null()) return;
    if (!found->is_number() || !(found->get<double>() >= 2) || (found->get<double>() <= kNotSet && !found->is_number_integer()))
      throw BadFile(path_, message("wrong model_max_length (expected an integer >= 2, got ", found->dump(), ")"));
    if (found->get<double>() <= kNotSet) tokens_.max_length = found->get<int64_t>();
  }

  SpecialTokens resolve() {
    for (const std::string* content : {&tokens_.first, &tokens_.last, &tokens_.unknown, &tokens_.padding})
      if (!named(*content)) add({*content, std::nullopt, false});
    for (const Parsed& token : added_) {
      const auto known = vocabulary_.ids.find(token.content);
      if (known == vocabulary_.ids.end() && !token.id)
        throw BadFile(folder_, message("special token \"", escaped(token.content), "\" is not in the vocabulary ", vocabulary_.source,
                                       ". Fix: take all tokenizer files from the same model"));
      if (known != vocabulary_.ids.end() && token.id && *token.id != known->second)
        throw BadFile(folder_, message("token \"", escaped(token.content), "\" has two ids (", known->second, " in ", vocabulary_.source, ", ",
                                       *token.id, " in the other files). Fix: take all ", "tokenizer files from the same model"));
      tokens_.added.push_back({token.content, known != vocabulary_.ids.end() ? known->second : *token.id, token.normalized});
    }
    tokens_.first_id = id_of(tokens_.first);
    tokens_.last_id = id_of(tokens_.last);
    tokens_.unknown_id = id_of(tokens_.unknown);
    tokens_.padding_id = id_of(tokens_.padding);
    return tokens_;
  }

  int64_t id_of(const std::string& content) const {
    const auto found = std::ranges::find(tokens_.added, content, &AddedToken::content);
    SARA_CHECK(found != tokens_.added.end(), content);
    return found->id;
  }

  std::string folder_, path_;
  const Vocabulary& vocabulary_;
  SpecialTokens tokens_;
  std::vector<Parsed> added_;
};

}  // namespace

SpecialTokens read_special_tokens(const std::string& folder, const Vocabulary& vocabulary) { return Reader(folder, vocabulary).read(); }

}  // namespace sara
