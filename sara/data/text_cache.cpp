// SPDX-License-Identifier: Apache-2.0
#include "sara/data/text_cache.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <unordered_map>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/base/log.h"
#include "sara/data/cache_file.h"
#include "sara/data/captions.h"

namespace sara {
namespace {

constexpr const char* kTextFormat = "text 1";  // of the files; raised when what lies in them changes

void warn_of_cut(const std::vector<std::string>& cut, int64_t most) {
  if (cut.empty()) return;
  std::vector<std::string> examples;
  for (size_t i = 0; i < std::min<size_t>(cut.size(), 3); ++i) examples.push_back("\"" + escaped(cut[i]) + "\"");
  log_warning(message(cut.size(), " caption(s) have more than ", most,
                      " tokens; their ends are not seen: ", first_five(examples)));
}

void require_finite(const torch::Tensor& part, const std::vector<std::string>& captions, int64_t first) {
  const auto finite = torch::isfinite(part).flatten(1).all(1);
  if (finite.all().item<bool>()) return;
  const int64_t worst = finite.logical_not().to(torch::kInt64).argmax().item<int64_t>();
  throw BadFile(message("caption \"", captions[static_cast<size_t>(first + worst)], "\""),
                "the text encoder gives values that are not finite for it. Fix: encode in float32");
}

// Rows first ... of `all`, which is made for `count` rows when it does not exist yet.
void put_rows(torch::Tensor& all, const torch::Tensor& part, int64_t first, int64_t count) {
  auto shape = part.sizes().vec();
  shape[0] = count;
  if (!all.defined()) all = torch::empty(shape, part.options().device(torch::kCPU));
  all.narrow(0, first, part.size(0)).copy_(part);
}

TextConditions encode_all(const torch::Tensor& ids, const std::vector<std::string>& captions,
                          const TextCacheOptions& options, const EncodeText& encode, const CacheProgress& progress) {
  torch::NoGradGuard guard;
  TextConditions all;
  const int64_t count = ids.size(0);
  for (int64_t first = 0; first < count; first += options.batch_size) {
    const int64_t last = std::min(first + options.batch_size, count);
    const auto part = encode(ids.slice(0, first, last));
    SARA_CHECK(part.text.dim() == 3 && part.text.size(0) == last - first, "text ", part.text.sizes());
    require_finite(part.text, captions, first);
    put_rows(all.text, part.text, first, count);
    if (part.pooled.defined()) {
      require_finite(part.pooled, captions, first);
      put_rows(all.pooled, part.pooled, first, count);
    }
    if (progress) progress(last, count);
  }
  return all;
}

}  // namespace

int64_t TextCache::row(int64_t sample, uint64_t seed, int64_t epoch) const {
  SARA_CHECK(sample >= 0 && sample < static_cast<int64_t>(rows.size()), "sample ", sample, " of ", rows.size());
  const auto& own = rows[static_cast<size_t>(sample)];
  return own[static_cast<size_t>(drawn_caption(static_cast<int64_t>(own.size()), seed, epoch, sample))];
}

TextCache cache_text(const std::vector<Sample>& samples, const Tokenizer& tokenizer, const TextCacheOptions& options,
                     const EncodeText& encode, const CacheProgress& progress) {
  if (options.batch_size < 1)
    throw InvalidArgument(message("batch_size: expected at least 1, got ", options.batch_size));
  TextCache cache;
  std::vector<std::string> captions;
  std::vector<int64_t> ids;
  std::unordered_map<std::string, int64_t> known;
  const auto row_of = [&](const std::string& caption) {
    const auto [place, fresh] = known.emplace(caption, static_cast<int64_t>(captions.size()));
    if (fresh) {
      const Encoding encoding = tokenizer.encode(caption);
      SARA_CHECK(static_cast<int64_t>(encoding.ids.size()) == tokenizer.max_length(), encoding.ids.size(), " ids");
      if (encoding.truncated) cache.cut.push_back(caption);
      captions.push_back(caption);
      ids.insert(ids.end(), encoding.ids.begin(), encoding.ids.end());
    }
    return place->second;
  };
  row_of("");
  for (const auto& sample : samples) {
    SARA_CHECK(!sample.captions.empty(), sample.path);
    auto& rows = cache.rows.emplace_back();
    for (const auto& caption : sample.captions) rows.push_back(row_of(caption));
  }
  warn_of_cut(cache.cut, tokenizer.max_length());
  cache.ids = torch::tensor(ids, torch::kInt64).view({static_cast<int64_t>(captions.size()), tokenizer.max_length()});
  if (!encode) return cache;

  Hasher hasher;
  hasher.update(message(kTextFormat, "|", options.encoder_hash, "|", content_hash({{"ids", cache.ids}})));
  const std::string& key = cache.key = hasher.hex();
  if (auto kept = read_cache(options.folder, "text", key)) {
    cache.hidden = kept->at("hidden");
    if (kept->count("pooled")) cache.pooled = kept->at("pooled");
    cache.reused = true;
    return cache;
  }
  const auto encoded = encode_all(cache.ids, captions, options, encode, progress);
  cache.hidden = encoded.text;
  cache.pooled = encoded.pooled;
  TensorMap kept{{"hidden", cache.hidden}};
  if (cache.pooled.defined()) kept["pooled"] = cache.pooled;
  write_cache(options.folder, "text", key, kept);
  return cache;
}

}  // namespace sara
