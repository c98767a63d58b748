// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/key_map.h"

#include <algorithm>

#include "sara/base/error.h"

namespace sara {
namespace {

std::string filled_in(std::string text, const std::vector<std::pair<std::string, int64_t>>& places) {
  for (const auto& [name, value] : places) {
    for (auto at = text.find(name); at != std::string::npos; at = text.find(name)) text.replace(at, name.size(), std::to_string(value));
  }
  SARA_CHECK(text.find('{') == std::string::npos, "a place of the key map has no meaning: ", text);
  return text;
}

std::string joined(const std::string& path, const std::string& name) { return path.empty() || name.empty() ? path + name : path + "." + name; }

bool is_for(Blocks blocks, int64_t block, const KeySizes& sizes) {
  const bool attention = sizes.attention.empty() || sizes.attention.at(static_cast<size_t>(block));
  switch (blocks) {
    case Blocks::all: return true;
    case Blocks::with_attention: return attention;
    case Blocks::without_attention: return !attention;
    case Blocks::before_last: return block + 1 < sizes.blocks;
    case Blocks::last: return block + 1 == sizes.blocks;
  }
  return false;
}

// The entry of the longest path that `name` is or lies below, and the rest of the name behind it.
template <class Map>
const typename Map::mapped_type* longest(const Map& map, const std::string& name, std::string& rest) {
  std::string path = name;
  while (true) {
    if (const auto found = map.find(path); found != map.end()) {
      rest = path.empty() ? name : name.substr(std::min(name.size(), path.size() + 1));
      return &found->second;
    }
    if (path.empty()) return nullptr;
    const auto dot = path.rfind('.');
    path = dot == std::string::npos ? "" : path.substr(0, dot);
  }
}

}  // namespace

KeyRow nested(const char* model, const char* file, const KeyTable& inside) { return {model, file, Change::same, 0, 1, Blocks::all, &inside}; }
KeyRow in_blocks(Blocks blocks, const char* model, const char* file, Change change) { return {model, file, change, 0, 1, blocks}; }
KeyRow copied(const char* model, const char* file) { return {model, file, Change::same, 0, 1, Blocks::all, nullptr, true}; }

KeyMap::KeyMap(const KeyTable& table, const KeySizes& sizes) {
  for (const KeyRow& row : table.rows) {
    const std::string both = std::string(row.model) + row.file;
    const bool blocks = both.find("{b}") != std::string::npos || both.find("{r}") != std::string::npos || both.find("{down}") != std::string::npos ||
                        both.find("{up}") != std::string::npos;
    const bool layers = both.find("{l}") != std::string::npos;
    for (int64_t b = 0; b < (blocks ? sizes.blocks : 1); ++b) {
      if (blocks && !is_for(row.blocks, b, sizes)) continue;
      for (int64_t l = 0; l < (layers ? sizes.layers : 1); ++l) {
        const std::vector<std::pair<std::string, int64_t>> places = {{"{b}", b},
                                                                     {"{l}", l},
                                                                     {"{r}", sizes.blocks - 1 - b},
                                                                     {"{in}", 1 + b * sizes.layers + l},
                                                                     {"{down}", (b + 1) * sizes.layers},
                                                                     {"{out}", b * sizes.layers + l},
                                                                     {"{up}", (b + 1) * sizes.layers - 1}};
        const std::string model = filled_in(row.model, places), file = filled_in(row.file, places);
        if (!row.inside) {
          add(row, model, file);
          continue;
        }
        for (const KeyRow& inner : row.inside->rows) add(inner, joined(model, inner.model), joined(file, inner.file));
      }
    }
  }
}

void KeyMap::add(const KeyRow& row, const std::string& model, const std::string& file) {
  auto& places = by_model_[model];
  SARA_CHECK(row.again == !places.empty(), "two rows of the key map for ", model);
  places.push_back({file, row.change, row.part, row.parts});
  auto& held = by_file_[file];
  held.push_back({model, row.change, row.part, row.parts, row.again});
  std::ranges::sort(held, {}, &Held::part);
}

std::vector<FilePlace> KeyMap::in_file(const std::string& model_name) const {
  std::string rest;
  const auto* places = longest(by_model_, model_name, rest);
  std::vector<FilePlace> out;
  if (places) out = *places;
  for (auto& place : out) place.name = joined(place.name, rest);
  return out;
}

std::vector<KeyMap::Held> KeyMap::in_model(const std::string& file_name) const {
  std::string rest;
  const auto* held = longest(by_file_, file_name, rest);
  std::vector<Held> out;
  if (held) out = *held;
  for (auto& one : out) one.model_name = joined(one.model_name, rest);
  return out;
}

}  // namespace sara
