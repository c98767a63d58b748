// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/shards.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/json.h"
#include "sara/weights/precision.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStems[] = {"diffusion_pytorch_model", "model"};

// A shard name may not leave the folder.
void check_shard_name(const std::string& index_path, const std::string& name) {
  const auto bad = [&](const char* why) { throw BadFile(index_path, message("shard name ", escaped(name), " ", why)); };
  if (name.empty() || name.front() == '/') bad("is not relative");
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') bad("holds a control character or a backslash");
  }
  for (const auto& part : fs::path(name)) {
    if (part == "..") bad("leaves the model folder");
  }
}

// A symbolic link must end inside the folder, or in the blobs folder of the same download cache entry
// (snapshots/<revision>/<component>/file -> ../../../blobs/<hash>).
void check_link(const std::string& path, const fs::path& component_folder) {
  std::error_code failure;  // a chain of links that never ends is no regular file either
  if (!fs::is_symlink(path, failure)) return;
  const auto target = fs::weakly_canonical(path, failure);
  if (failure || !fs::is_regular_file(target, failure)) throw BadFile(path, "a symbolic link that leads to no regular file");
  const auto model = fs::weakly_canonical(component_folder).parent_path();
  const auto inside = [&](const fs::path& root) {
    const auto relative = target.lexically_relative(root);
    return !relative.empty() && *relative.begin() != "..";
  };
  if (inside(model)) return;
  for (auto parent = model; parent != parent.root_path(); parent = parent.parent_path()) {
    if (parent.filename() == "snapshots" && inside(parent.parent_path() / "blobs")) return;
  }
  throw BadFile(path, message("a symbolic link that leaves the model folder, to ", target.string()));
}

// The part of the file's tensor as the model has it: its bytes, and its shape without the change.
TensorInfo part_of(const WeightFiles::Piece& piece, const std::string& path) {
  TensorInfo info = *piece.stored;
  info.name = piece.name;
  auto& shape = info.shape;
  const auto refuse = [&](const std::string& expected) {
    throw BadFile(path, message("tensor ", piece.stored->name, " has a shape that does not fit its place (expected ", expected, ", got ",
                                at::IntArrayRef(piece.stored->shape), "). Fix: use an undamaged file of this family"));
  };
  if (piece.change == Change::identity) {
    if (shape.size() != 2) refuse("a matrix");
    shape[0] = shape[1];
    info.begin = 0;
    info.end = *tensor_bytes(info.dtype, shape);
  }
  if (piece.parts > 1) {
    if (shape.empty() || shape[0] % piece.parts != 0) refuse(message(piece.parts, " equal blocks of rows"));
    shape[0] /= piece.parts;
    const uint64_t bytes = info.bytes() / static_cast<uint64_t>(piece.parts);
    info.begin += bytes * static_cast<uint64_t>(piece.part);
    info.end = info.begin + bytes;
  }
  if (piece.change == Change::pointwise && shape.size() == 4) {
    if (shape[2] != 1 || shape[3] != 1) refuse("a 1x1 convolution");
    shape.resize(2);
  }
  if (piece.change == Change::transposed) {
    if (shape.size() != 2) refuse("a matrix");
    std::swap(shape[0], shape[1]);
  }
  if (piece.change == Change::swapped_halves && (shape.empty() || shape[0] % 2 != 0)) refuse("two halves of rows");
  return info;
}

// [rows, columns] elements of `bytes` bytes each to [columns, rows].
void transpose(const char* from, char* to, int64_t rows, int64_t columns, size_t bytes) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c) std::copy_n(from + (r * columns + c) * bytes, bytes, to + (c * rows + r) * bytes);
}

void fill_unit_matrix(const TensorInfo& info, char* out) {
  const uint32_t one = info.dtype == DType::F16 ? 0x3c00 : info.dtype == DType::BF16 ? 0x3f80 : 0x3f800000;  // little-endian
  const size_t bytes = bits(info.dtype) / 8;
  SARA_CHECK(info.dtype == DType::F32 || bytes == 2, "a unit matrix of ", name(info.dtype));
  std::fill_n(out, info.bytes(), '\0');
  for (int64_t i = 0; i < info.shape[0]; ++i) std::memcpy(out + (i * info.shape[1] + i) * bytes, &one, bytes);
}

}  // namespace

WeightFiles::WeightFiles(std::shared_ptr<const SafetensorsReader> file, std::string shown, const std::vector<Piece>& pieces)
    : folder_(std::move(shown)), readers_{std::move(file)} {
  for (const Piece& piece : pieces) {
    infos_.push_back(std::make_shared<const TensorInfo>(part_of(piece, readers_.front()->path())));
    entries_.push_back({readers_.front().get(), infos_.back().get(), piece.change});
  }
}

void WeightFiles::Entry::read(void* out) const {
  auto* bytes = static_cast<char*>(out);
  if (change == Change::swapped_halves) {
    TensorInfo half = *info;
    half.begin = info->begin + info->bytes() / 2;
    reader->read(half, bytes);
    half.begin = info->begin;
    half.end = info->begin + info->bytes() / 2;
    reader->read(half, bytes + info->bytes() / 2);
  } else if (change == Change::identity) {
    fill_unit_matrix(*info, bytes);
  } else if (change == Change::transposed) {
    std::vector<char> stored(info->bytes());
    reader->read(*info, stored.data());
    transpose(stored.data(), bytes, info->shape[1], info->shape[0], bits(info->dtype) / 8);
  } else {
    reader->read(*info, bytes);
  }
}

bool holds_weights(const std::string& file_name) {
  static const std::set<std::string> kKinds = {".safetensors", ".bin", ".ckpt", ".pt", ".msgpack", ".onnx", ".h5"};
  const fs::path file(file_name);
  return kKinds.count(file.extension().string()) || file.filename().string().find(".index.") != std::string::npos;
}

torch::Tensor read_tensor(const WeightFiles::Entry& entry) {
  const auto dtype = torch_dtype(entry.info->dtype);
  if (!dtype)
    throw BadFile(entry.reader->path(), message("tensor ", entry.info->name, " has element type ", name(entry.info->dtype), ", which cannot be loaded"));
  auto tensor = torch::empty(entry.info->shape, *dtype);
  entry.read(tensor.data_ptr());
  return tensor;
}

WeightFiles::WeightFiles(const std::string& component_folder) : folder_(component_folder) {
  const fs::path folder(component_folder);
  std::error_code failure;
  if (!fs::is_directory(folder, failure)) throw BadFile(component_folder, "no such folder");
  for (const char* stem : kStems) {
    for (const char* variant : {"", ".fp16"}) {
      const auto single = folder / (std::string(stem) + variant + ".safetensors");
      if (fs::exists(fs::symlink_status(single))) {
        check_link(single, folder);
        readers_.push_back(std::make_shared<SafetensorsReader>(single));
        for (const auto& info : readers_.back()->tensors()) entries_.push_back({readers_.back().get(), &info});
        return;
      }
      const auto index = folder / (std::string(stem) + ".safetensors.index" + variant + ".json");
      if (fs::exists(fs::symlink_status(index))) {
        check_link(index, folder);
        open_shards(index);
        return;
      }
    }
  }
  for (const char* pickle : {"diffusion_pytorch_model.bin", "pytorch_model.bin"}) {
    if (fs::exists(folder / pickle)) {
      throw BadFile((folder / pickle).string(),
                    "a pickle file can run code and is not read. Fix: open the model in diffusers once and save it with "
                    "save_pretrained(..., safe_serialization=True)");
    }
  }
  throw BadFile(component_folder, "no weights found (expected diffusion_pytorch_model.safetensors, model.safetensors, "
                                  "their .fp16 variant, or an index of shards)");
}

void WeightFiles::open_shards(const std::string& index_path) {
  const auto index = read_json(index_path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    throw BadFile(index_path, "no weight_map (expected an object of tensor name to file name)");
  }
  std::map<std::string, std::set<std::string>> named;  // shard -> tensors the index expects there
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) throw BadFile(index_path, message("weight_map of ", escaped(tensor), " is not a string"));
    check_shard_name(index_path, shard.get<std::string>());
    named[shard.get<std::string>()].insert(tensor);
  }
  std::set<std::string> seen;
  uint64_t bytes = 0;
  for (const auto& [shard, tensors] : named) {
    const auto path = (fs::path(folder_) / shard).string();
    if (!fs::exists(fs::symlink_status(path))) throw BadFile(index_path, message("shard ", shard, " is missing. Fix: download it again"));
    check_link(path, folder_);
    readers_.push_back(std::make_shared<SafetensorsReader>(path));
    for (const auto& info : readers_.back()->tensors()) {
      if (!seen.insert(info.name).second) throw BadFile(path, message("tensor ", info.name, " is in two shards"));
      if (!tensors.count(info.name)) throw BadFile(path, message("tensor ", info.name, " is not named by the index for this shard"));
      bytes += info.bytes();
      entries_.push_back({readers_.back().get(), &info});
    }
    for (const auto& tensor : tensors) {
      if (!readers_.back()->find(tensor)) throw BadFile(path, message("tensor ", tensor, " is named by the index and absent from the shard"));
    }
  }
  const auto metadata = index.value("metadata", Json::object());
  if (metadata.is_object() && metadata.contains("total_size") && metadata["total_size"].is_number() &&
      metadata["total_size"].get<double>() != static_cast<double>(bytes)) {
    log_warning(message(index_path, ": metadata.total_size differs from the shards (expected ", bytes, ", got ", metadata["total_size"].dump(), ")"));
  }
}

WeightFiles WeightFiles::with(const WeightFiles& more) const {
  WeightFiles all = *this;
  all.readers_.insert(all.readers_.end(), more.readers_.begin(), more.readers_.end());
  all.infos_.insert(all.infos_.end(), more.infos_.begin(), more.infos_.end());
  all.entries_.insert(all.entries_.end(), more.entries_.begin(), more.entries_.end());
  return all;
}

std::vector<std::string> WeightFiles::paths() const {
  std::vector<std::string> out;
  for (const auto& reader : readers_) out.push_back(reader->path());
  return out;
}

}  // namespace sara
