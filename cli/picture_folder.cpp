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

std::string number_name(int64_t index) {
  const auto digits = std::to_string(index);
  return std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits;
}

std::string picture_name(int64_t index) { return number_name(index) + ".png"; }

bool is_picture(const std::string& name) {
  return name.size() >= 8 && name.find_first_not_of("0123456789") == name.size() - 4 && name.compare(name.size() - 4, 4, ".png") == 0;
}

bool is_ours(const std::string& name) { return name == "prompts.jsonl" || name == "config.toml" || name == "grid.png" || is_picture(name); }

// Whether it holds the frames of a clip and nothing else.
bool is_clip(const fs::path& folder) {
  const auto name = folder.filename().string();
  if (name.size() < 4 || name.find_first_not_of("0123456789") != std::string::npos) return false;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_regular_file() || !is_picture(entry.path().filename().string())) return false;
  }
  return true;
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
    if (entry.is_directory() ? is_clip(entry.path()) : entry.is_regular_file() && is_ours(entry.path().filename().string())) old.push_back(entry.path());
  }
  for (const auto& name : old) fs::remove_all(name);
}

std::string PictureFolder::file(const std::string& name) const { return (fs::path(path_) / name).string(); }

std::string PictureFolder::add(int64_t index, const Image& picture, const std::string& prompt, int64_t seed, double scale) {
  const auto name = picture_name(index);
  write_png(file(name), picture);
  lines_ += Json{{"file_name", name}, {"text", prompt}, {"seed", seed}, {"scale", scale}}.dump() + "\n";
  return file(name);
}

std::string PictureFolder::add_clip(int64_t index, const std::vector<Image>& frames, int64_t frames_per_second, const std::string& prompt, int64_t seed, double scale) {
  const auto name = picture_name(index), folder = file(number_name(index));
  fs::create_directory(folder);
  for (size_t i = 0; i < frames.size(); ++i) write_png((fs::path(folder) / picture_name(static_cast<int64_t>(i))).string(), frames[i]);
  write_animated_png(file(name), frames, frames_per_second);
  lines_ += Json{{"file_name", name}, {"text", prompt}, {"seed", seed}, {"scale", scale}, {"frames", frames.size()}}.dump() + "\n";
  return file(name);
}

void PictureFolder::finish() const { write_file(file("prompts.jsonl"), lines_); }

}  // namespace sara::cli
