// SPDX-License-Identifier: Apache-2.0
#include "cli/picture_folder.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"

namespace sara::cli {
namespace {

namespace fs = std::filesystem;

std::string picture_name(int64_t index) {
  const auto digits = std::to_string(index);
  return std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits + ".png";
}

bool is_ours(const std::string& name) {
  if (name == "prompts.jsonl" || name == "config.toml" || name == "grid.png") return true;
  return name.size() >= 8 && name.find_first_not_of("0123456789") == name.size() - 4 && name.compare(name.size() - 4, 4, ".png") == 0;
}

}  // namespace

PictureFolder::PictureFolder(std::string path, bool overwrite) : path_(std::move(path)) {
  if (fs::exists(path_) && !fs::is_directory(path_)) throw IoError(path_, "the output is not a folder. Fix: choose another --output", ENOTDIR);
  std::error_code failure;
  fs::create_directories(path_, failure);
  if (failure) throw IoError(path_, "cannot make the output folder", failure.value());
  if (access(path_.c_str(), W_OK | X_OK) != 0) throw IoError(path_, "cannot write to the output folder", errno);
  if (fs::is_empty(path_)) return;
  if (!overwrite) throw IoError(path_, "the output folder is not empty. Fix: add --overwrite, or choose another --output", EEXIST);
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(path_)) {
    if (entry.is_regular_file() && is_ours(entry.path().filename().string())) old.push_back(entry.path());
  }
  for (const auto& name : old) fs::remove(name);
}

std::string PictureFolder::file(const std::string& name) const { return (fs::path(path_) / name).string(); }

std::string PictureFolder::add(int64_t index, const Image& picture, const std::string& prompt, int64_t seed, double scale) {
  const auto name = picture_name(index);
  write_png(file(name), picture);
  lines_ += Json{{"file_name", name}, {"text", prompt}, {"seed", seed}, {"scale", scale}}.dump() + "\n";
  return file(name);
}

void PictureFolder::finish() const { write_file(file("prompts.jsonl"), lines_); }

}  // namespace sara::cli
