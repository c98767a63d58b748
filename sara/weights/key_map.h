// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace sara {

// How a tensor of the model lies in a single file that names (and sometimes stores) it otherwise.
enum class Change {
  same,
  pointwise,       // a linear weight [o, i] is stored as a 1x1 convolution [o, i, 1, 1]
  transposed,      // [o, i] is stored as [i, o]
  swapped_halves,  // the two halves along the first side are exchanged
  identity,        // is not stored: the unit matrix
};

// Which blocks a row is for.
enum class Blocks { all, with_attention, without_attention, before_last, last };

struct KeyTable;

// One row of a key map: `model` is the path of a tensor, or of a part of the network and then of all below it, as diffusers or
// transformers names it; `file` is what a single file calls the same. A row with places in braces stands for one row a place:
//   {b} block, {l} layer of the block, {r} block counted from the end
//   {in} = 1 + b (layers) + l, {down} = (b + 1)(layers), {out} = b (layers) + l, {up} = (b + 1)(layers) - 1
struct KeyRow {
  const char *model, *file;
  Change change = Change::same;
  int part = 0, parts = 1;             // the model's tensor is this one of `parts` equal row blocks of the file's
  Blocks blocks = Blocks::all;
  const KeyTable* inside = nullptr;  // names below both paths differ too, as this table says
  bool again = false;                  // a second copy in the file of a tensor that another row holds
};

struct KeyTable {
  std::vector<KeyRow> rows;
};

// Rows with less usual fields.
KeyRow nested(const char* model, const char* file, const KeyTable& inside);
KeyRow in_blocks(Blocks blocks, const char* model, const char* file, Change change = Change::same);
KeyRow copied(const char* model, const char* file);

// What a table's rows with places are expanded to.
struct KeySizes {
  int64_t blocks = 1, layers = 1;
  std::vector<bool> attention = {};  // for each block; empty: all have it
};

// Where a tensor of the model lies in the file.
struct FilePlace {
  std::string name;
  Change change = Change::same;
  int part = 0, parts = 1;
};

// A table for one network, both ways. The longest path that fits a name decides.
class KeyMap {
 public:
  KeyMap(const KeyTable& table, const KeySizes& sizes);

  // The place of a model's tensor first, then its further copies; empty when no row holds the name.
  std::vector<FilePlace> in_file(const std::string& model_name) const;

  // The model's tensors that a file's tensor holds, in the order of their parts. Empty: no row holds the name.
  struct Held {
    std::string model_name;
    Change change = Change::same;
    int part = 0, parts = 1;
    bool again = false;
  };
  std::vector<Held> in_model(const std::string& file_name) const;

 private:
  void add(const KeyRow& row, const std::string& model, const std::string& file);

  std::unordered_map<std::string, std::vector<FilePlace>> by_model_;
  std::unordered_map<std::string, std::vector<Held>> by_file_;
};

}  // namespace sara
