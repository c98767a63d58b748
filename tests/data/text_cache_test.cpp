// SPDX-License-Identifier: Apache-2.0
#include "sara/data/text_cache.h"

#include <torch/types.h>

#include <set>

#include "sara/base/error.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

// Letters as tokens, padded with 0 to six.
class LetterTokenizer : public Tokenizer {
 public:
  Encoding encode(std::string_view text) const override {
    Encoding out;
    for (const char c : text.substr(0, 6)) out.ids.push_back(c);
    out.ids.resize(6);
    out.length = static_cast<int64_t>(text.size());
    out.truncated = text.size() > 6;
    return out;
  }
  int64_t max_length() const override { return 6; }
};

struct CountingTextEncoder {
  int64_t captions = 0;
  TextConditions operator()(const torch::Tensor& ids) {
    captions += ids.size(0);
    return {torch::stack({ids.to(torch::kFloat32), ids.to(torch::kFloat32) * 2}, 2), {}};
  }
};

TEST(TextCache, EveryDifferentCaptionIsEncodedOnceAndTheEmptyOneIsRowZero) {
  const std::vector<Sample> samples = {{"a", {"cat"}}, {"b", {"dog", "cat"}}, {"c", {""}}};
  CountingTextEncoder encoder;
  const auto cache =
      cache_text(samples, LetterTokenizer(), {"", "t", 2}, [&](const torch::Tensor& ids) { return encoder(ids); });
  EXPECT_EQ(cache.rows, (std::vector<std::vector<int64_t>>{{1}, {2, 1}, {0}}));
  EXPECT_EQ(cache.ids.sizes(), (std::vector<int64_t>{3, 6}));
  EXPECT_EQ(cache.ids[TextCache::kEmpty].sum().item<int64_t>(), 0);
  EXPECT_EQ(cache.ids[1][0].item<int64_t>(), 'c');
  EXPECT_EQ(encoder.captions, 3);
  EXPECT_TRUE(torch::equal(cache.hidden, CountingTextEncoder()(cache.ids).text));
  EXPECT_TRUE(cache.cut.empty());
}

TEST(TextCache, KeepsThePooledTextOfEncodersThatGiveOneAlsoOnDisk) {
  Folder folder;
  const std::vector<Sample> samples = {{"a", {"cat"}}, {"b", {"dog"}}};
  const auto encode = [](const torch::Tensor& ids) {
    const auto states = ids.to(torch::kFloat32).unsqueeze(2);
    return TextConditions{states, states.sum(1)};
  };
  for (const bool reused : {false, true}) {
    const auto cache = cache_text(samples, LetterTokenizer(), {folder.path("cache"), "t", 2}, encode);
    EXPECT_EQ(cache.reused, reused);
    EXPECT_TRUE(cache.pooled.equal(cache.ids.sum(1, true).to(torch::kFloat32)));
  }
}

TEST(TextCache, WithoutAnEncoderThereAreOnlyIds) {
  const auto cache = cache_text({{"a", {"cat"}}}, LetterTokenizer(), {"", "t", 2});
  EXPECT_FALSE(cache.hidden.defined());
  EXPECT_EQ(cache.ids.size(0), 2);
}

TEST(TextCache, ASampleWithSeveralCaptionsDrawsOneOfItsOwn) {
  const auto cache = cache_text({{"a", {"x"}}, {"b", {"y", "z"}}}, LetterTokenizer(), {"", "t", 2});
  std::set<int64_t> seen;
  for (int64_t epoch = 0; epoch < 40; ++epoch) {
    EXPECT_EQ(cache.row(0, 5, epoch), 1);
    EXPECT_EQ(cache.row(1, 5, epoch), cache.row(1, 5, epoch));
    seen.insert(cache.row(1, 5, epoch));
  }
  EXPECT_EQ(seen, (std::set<int64_t>{2, 3}));
}

TEST(TextCache, IsReadBackWhenCaptionsAndEncoderAreTheSame) {
  Folder folder;
  CountingTextEncoder encoder;
  const auto encode = [&](const torch::Tensor& ids) { return encoder(ids); };
  const std::vector<Sample> samples = {{"a", {"cat"}}, {"b", {"dog"}}};
  const TextCacheOptions options{folder.path("cache"), "t", 16};
  const auto first = cache_text(samples, LetterTokenizer(), options, encode);
  const auto second = cache_text(samples, LetterTokenizer(), options, encode);
  EXPECT_FALSE(first.reused);
  EXPECT_TRUE(second.reused);
  EXPECT_EQ(encoder.captions, 3);
  EXPECT_TRUE(torch::equal(first.hidden, second.hidden));
  EXPECT_EQ(second.rows, first.rows);
  EXPECT_FALSE(cache_text(samples, LetterTokenizer(), {folder.path("cache"), "u", 16}, encode).reused);
  EXPECT_FALSE(cache_text({{"a", {"cow"}}, {"b", {"dog"}}}, LetterTokenizer(), options, encode).reused);
}

TEST(TextCache, CaptionsThatAreCutAreCounted) {
  const auto cache =
      cache_text({{"a", {"penguin"}}, {"b", {"cat"}}, {"c", {"penguin"}}}, LetterTokenizer(), {"", "t", 2});
  EXPECT_EQ(cache.cut, std::vector<std::string>{"penguin"});
}

TEST(TextCache, ACaptionWithoutFiniteHiddenStatesIsNamed) {
  const auto encode = [](const torch::Tensor& ids) {
    auto hidden = CountingTextEncoder()(ids);
    hidden.text.masked_fill_(hidden.text == float('d'), INFINITY);
    return hidden;
  };
  const auto text =
      thrown<BadFile>([&] { cache_text({{"a", {"cat"}}, {"b", {"dog"}}}, LetterTokenizer(), {"", "t", 2}, encode); });
  EXPECT_EQ(text.find("caption \"dog\""), 0u) << text;
}

}  // namespace
}  // namespace sara
