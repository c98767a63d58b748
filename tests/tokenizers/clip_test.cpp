// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/clip.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"
#include "tests/tokenizers/tiny_folder.h"

namespace sara {
namespace {

const std::vector<std::pair<std::string, std::string>> kMerges = {{"c", "a"}, {"ca", "t</w>"}, {"a", "t</w>"}};

using Ids = std::vector<int64_t>;

template <class Action>
std::string refusal(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void set_config(const TinyFolder& folder, const Json& config) { write_json(folder.file("tokenizer_config.json"), config); }

TEST(ClipTokenizer, ACaptionIsFramedAndPaddedWithItsLastToken) {
  const TinyFolder folder(kMerges);
  set_config(folder, {{"model_max_length", 8}});
  const ClipTokenizer tokenizer(folder.path());
  const int64_t first = folder.id("<|startoftext|>"), last = folder.id("<|endoftext|>");
  const Encoding encoding = tokenizer.encode("Cat at!");
  EXPECT_EQ(encoding.ids, (Ids{first, folder.id("cat</w>"), folder.id("at</w>"), folder.id("!</w>"), last, last, last, last}));
  EXPECT_EQ(encoding.length, 5);
  EXPECT_FALSE(encoding.truncated);
  EXPECT_EQ(tokenizer.encode("").ids, (Ids{first, last, last, last, last, last, last, last}));
  EXPECT_EQ(tokenizer.vocabulary_size(), 512 + 3 + 2);
}

TEST(ClipTokenizer, ALongCaptionIsCutAndSaysSo) {
  const TinyFolder folder(kMerges);
  set_config(folder, {{"model_max_length", 4}});
  const ClipTokenizer tokenizer(folder.path());
  const int64_t first = folder.id("<|startoftext|>"), last = folder.id("<|endoftext|>"), cat = folder.id("cat</w>");
  const Encoding fits = tokenizer.encode("cat cat");
  EXPECT_EQ(fits.ids, (Ids{first, cat, cat, last}));
  EXPECT_FALSE(fits.truncated);
  const Encoding cut = tokenizer.encode("cat cat cat");
  EXPECT_EQ(cut.ids, (Ids{first, cat, cat, last}));
  EXPECT_EQ(cut.length, 5);
  EXPECT_TRUE(cut.truncated);
}

TEST(ClipTokenizer, WithoutTheSmallFilesClipsValuesHold) {
  const TinyFolder folder(kMerges);
  const ClipTokenizer tokenizer(folder.path());
  EXPECT_EQ(tokenizer.max_length(), 77);
  EXPECT_EQ(tokenizer.first_id(), folder.id("<|startoftext|>"));
  EXPECT_EQ(tokenizer.last_id(), folder.id("<|endoftext|>"));
  EXPECT_EQ(tokenizer.padding_id(), folder.id("<|endoftext|>"));
  set_config(folder, {{"model_max_length", 1e30}});
  EXPECT_EQ(ClipTokenizer(folder.path()).max_length(), 77);  // transformers' mark for "not set"
}

TEST(ClipTokenizer, ThePaddingTokenComesFromTheFilesAndIsOneTokenInTheTextToo) {
  const TinyFolder folder(kMerges);
  set_config(folder, {{"model_max_length", 7}, {"pad_token", "<|endoftext|>"}});
  write_json(folder.file("special_tokens_map.json"), {{"pad_token", "!"}});
  const ClipTokenizer tokenizer(folder.path());
  const int64_t first = folder.id("<|startoftext|>"), last = folder.id("<|endoftext|>"), sign = folder.id("!");
  EXPECT_EQ(tokenizer.padding_id(), sign);
  EXPECT_EQ(tokenizer.encode("cat!!").ids, (Ids{first, folder.id("cat</w>"), sign, sign, last, sign, sign}));
}

TEST(ClipTokenizer, SpecialTokensInTheTextAreTakenAsWrittenUnlessMarkedNormalized) {
  const TinyFolder folder(kMerges);
  set_config(folder, {{"model_max_length", 4}});
  const int64_t first = folder.id("<|startoftext|>"), last = folder.id("<|endoftext|>"), cat = folder.id("cat</w>");
  EXPECT_EQ(ClipTokenizer(folder.path()).encode("cat<|endoftext|>").ids, (Ids{first, cat, last, last}));
  EXPECT_GT(ClipTokenizer(folder.path()).encode("cat<|EndOfText|>").length, 4);
  const Json token = {{"content", "<|endoftext|>"}, {"normalized", true}};
  set_config(folder, {{"model_max_length", 4}, {"eos_token", token}, {"pad_token", token}, {"unk_token", token}});
  EXPECT_EQ(ClipTokenizer(folder.path()).encode("cat<|EndOfText|>").length, 4);
}

TEST(ClipTokenizer, ASingleTokenizerJsonServesAsWell) {
  const TinyFolder folder(kMerges);
  Json merges = Json::array();
  for (const auto& [left, right] : kMerges) merges.push_back(Json::array({left, right}));
  merges[0] = "c a";  // the older spelling
  const ClipTokenizer before(folder.path());
  write_json(folder.file("tokenizer.json"),
             {{"added_tokens", {{{"id", folder.id("<|endoftext|>")}, {"content", "<|endoftext|>"}, {"normalized", false}}}},
              {"model", {{"type", "BPE"}, {"vocab", folder.vocab()}, {"merges", merges}}}});
  std::filesystem::remove(folder.file("vocab.json"));
  EXPECT_EQ(ClipTokenizer(folder.path()).encode("cat at 7").ids, before.encode("cat at 7").ids);
}

TEST(ClipTokenizer, TokensAddedBehindTheVocabularyKeepTheirIds) {
  const TinyFolder folder(kMerges);
  write_json(folder.file("added_tokens.json"), {{"<my-cat>", 600}});
  const ClipTokenizer tokenizer(folder.path());
  EXPECT_EQ(tokenizer.encode("cat <my-cat>cat").ids[2], 600);
  EXPECT_EQ(tokenizer.vocabulary_size(), 601);
}

TEST(ClipTokenizer, ABadMergeIsNamedByItsLine) {
  const TinyFolder folder(kMerges);
  const auto with = [&](const std::string& lines) {
    write_file(folder.file("merges.txt"), lines);
    return refusal([&] { ClipTokenizer(folder.path()); });
  };
  EXPECT_NE(with("#version: 0.2\nc a\nno-merge\n").find("line 3 is not a merge"), std::string::npos);
  EXPECT_NE(with("c a b\n").find("line 1 is not a merge"), std::string::npos);
  EXPECT_NE(with("c a\n\nca t</w>\n").find("line 2 is not a merge"), std::string::npos);
  EXPECT_NE(with("c a\nx y\n").find("line 2: \"xy\" is not in the vocabulary"), std::string::npos);
  EXPECT_EQ(with("#version: 0.2\r\nc a\r\nca t</w>\r\n"), "");
  EXPECT_EQ(with(""), "");
}

TEST(ClipTokenizer, ABadVocabularyIsNamed) {
  const TinyFolder folder(kMerges);
  const auto with = [&](const char* token, const Json& id) {
    Json vocab = folder.vocab();
    vocab[token] = id;
    write_json(folder.file("vocab.json"), vocab);
    return refusal([&] { ClipTokenizer(folder.path()); });
  };
  EXPECT_NE(with("a", -1).find("token \"a\" has a wrong id (expected an integer >= 0, got -1)"), std::string::npos);
  EXPECT_NE(with("a", "7").find("got \"7\""), std::string::npos);
  EXPECT_NE(with("a", folder.id("b")).find("is given to two tokens"), std::string::npos);
  write_file(folder.file("vocab.json"), "[]");
  EXPECT_NE(refusal([&] { ClipTokenizer(folder.path()); }).find("no tokens"), std::string::npos);
  std::filesystem::remove(folder.file("vocab.json"));
  EXPECT_NE(refusal([&] { ClipTokenizer(folder.path()); }).find("no tokenizer here"), std::string::npos);
}

TEST(ClipTokenizer, SettingsItDoesNotHaveAreRefusedByName) {
  const TinyFolder folder(kMerges);
  const auto with = [&](const Json& config) {
    set_config(folder, config);
    return refusal([&] { ClipTokenizer(folder.path()); });
  };
  EXPECT_NE(with({{"tokenizer_class", "T5Tokenizer"}}).find("expected tokenizer_class CLIPTokenizer, got \"T5Tokenizer\""), std::string::npos);
  EXPECT_NE(with({{"padding_side", "left"}}).find("padding_side"), std::string::npos);
  EXPECT_NE(with({{"model_max_length", 1}}).find("wrong model_max_length (expected an integer >= 2, got 1)"), std::string::npos);
  EXPECT_NE(with({{"pad_token", "<pad>"}}).find("special token \"<pad>\" is not in the vocabulary"), std::string::npos);
  EXPECT_NE(with({{"pad_token", {{"content", "!"}, {"lstrip", true}}}}).find("lstrip"), std::string::npos);
  EXPECT_NE(with({{"pad_token", 3}}).find("wrong special token"), std::string::npos);
  EXPECT_EQ(with({{"tokenizer_class", "CLIPTokenizerFast"}, {"padding_side", "right"}}), "");
}

TEST(ClipTokenizer, ACaptionThatIsNotUtf8IsRefused) {
  const TinyFolder folder(kMerges);
  const ClipTokenizer tokenizer(folder.path());
  EXPECT_THROW(tokenizer.encode("<|endoftext|>\xff"), InvalidArgument);
  EXPECT_NE(refusal([&] { tokenizer.encode("<|endoftext|>\xff"); }).find("at byte 13"), std::string::npos);
}

}  // namespace
}  // namespace sara
