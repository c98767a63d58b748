// SPDX-License-Identifier: Apache-2.0
#include "sara/train/checkpoint_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <functional>
#include <vector>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/manifest.h"

namespace sara {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kPrefix = "step-";

std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* const end = name.data() + name.size();
  const auto [stopped, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || stopped != end || step < 1 || std::string(kPrefix) + std::to_string(step) != name) return std::nullopt;
  return step;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> out;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(folder, failure)) out.push_back(entry.path().filename().string());
  if (failure && failure != std::errc::no_such_file_or_directory) throw IoError(folder, "cannot read the folder", failure.value());
  return out;
}

std::vector<int64_t> steps_in(const std::string& folder) {  // highest first
  std::vector<int64_t> out;
  for (const auto& name : names_in(folder))
    if (const auto step = step_of(name)) out.push_back(*step);
  std::sort(out.begin(), out.end(), std::greater<>());
  return out;
}

void move_folder(const std::string& from, const std::string& to) {
  std::error_code failure;
  fs::rename(from, to, failure);
  if (failure) throw IoError(from, "cannot move the folder", failure.value());
}

void remove_folder(const std::string& path) {
  std::error_code failure;
  fs::remove_all(path, failure);
  if (failure) throw IoError(path, "cannot remove the folder", failure.value());
}

}  // namespace

CheckpointFiles::CheckpointFiles(const std::string& run_folder) : folder_((fs::path(run_folder) / "checkpoints").string()) {}

std::string CheckpointFiles::path(int64_t step) const { return (fs::path(folder_) / message(kPrefix, step)).string(); }

void CheckpointFiles::make_folder() const {
  std::error_code failure;
  if (!fs::create_directories(folder_, failure) && !failure) return;
  if (failure) throw IoError(folder_, "cannot make the folder", failure.value());
  const int descriptor = open(fs::path(folder_).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const int code = descriptor < 0 || fsync(descriptor) != 0 ? errno : 0;
  if (descriptor >= 0) close(descriptor);
  if (code) throw IoError(folder_, "cannot flush the folder to the disk", code);
}

std::optional<Checkpoint> CheckpointFiles::newest(bool strict) const {
  for (const int64_t step : steps_in(folder_)) {
    try {
      Json manifest = verified_manifest(path(step));
      if (manifest.value("step", Json()) != Json(step)) throw BadFile(path(step), "is of another step");
      return Checkpoint{step, path(step), std::move(manifest)};
    } catch (const BadFile& damaged) {
      if (strict) throw BadFile(damaged.path(), damaged.reason() + ". Fix: leave out --strict to resume from an older checkpoint", damaged.offset());
      log_warning(message("checkpoint ", kPrefix, step, " is damaged and left alone: ", damaged.what()));
    }
  }
  return std::nullopt;
}

void CheckpointFiles::remove_unfinished() const {
  for (const auto& name : names_in(folder_)) {
    const auto dot = name.find('.');
    const bool unsaved = dot != std::string::npos && name.compare(dot, 5, ".tmp.") == 0, unremoved = dot != std::string::npos && name.compare(dot, 5, ".old.") == 0;
    if (!(unsaved || unremoved) || !step_of(name.substr(0, dot))) continue;
    if (unsaved) log_warning(message("checkpoint ", name.substr(0, dot), " is incomplete and ignored"));
    remove_folder((fs::path(folder_) / name).string());
  }
}

void CheckpointFiles::set_aside(int64_t step) const {
  const std::string aside = path(step) + ".damaged";
  std::string free = aside;
  for (int number = 2; fs::exists(free); ++number) free = message(aside, ".", number);
  move_folder(path(step), free);
  log_warning(message("the damaged checkpoint ", kPrefix, step, " is now ", fs::path(free).filename().string()));
}

void CheckpointFiles::prune(int64_t limit, int64_t newest_step) const {
  int64_t kept = 0;
  for (const int64_t step : steps_in(folder_)) {
    if (step > newest_step) continue;
    try {
      read_manifest(path(step));
    } catch (const BadFile&) {
      continue;
    }
    if (++kept <= std::max<int64_t>(limit, 1)) continue;
    const std::string going = message(path(step), ".old.", getpid());  // a removal that is cut short leaves no half checkpoint
    move_folder(path(step), going);
    remove_folder(going);
  }
}

}  // namespace sara
