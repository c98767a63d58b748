// SPDX-License-Identifier: Apache-2.0
#include "sara/data/image_folder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/data/captions.h"
#include "sara/data/metadata_file.h"
#include "sara/files/image.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 4> kRead = {".png", ".jpg", ".jpeg", ".webp"};
constexpr std::array<std::string_view, 8> kNotRead = {".avif", ".bmp", ".gif", ".heic",
                                                      ".heif", ".jxl", ".tif", ".tiff"};

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return extension;
}

std::vector<std::string> find_images(const std::string& folder) {
  auto images = image_names(folder);
  if (images.empty())
    throw BadFile(folder, message("0 images found (looked for ", first_five(kRead), " in it and the folders in it)"));
  return images;
}

// What a folder holds: names relative to it, and of clips their frames.
struct Listing {
  const char* things = "images";  // for messages
  std::vector<std::string> names{};  // sorted
  std::map<std::string, std::vector<std::string>> frames{};  // names too
};

// The last number in a file's name.
int64_t frame_number(const std::string& folder, const std::string& name) {
  const std::string stem = fs::path(name).stem().string();
  const auto end = stem.find_last_of("0123456789");
  const auto before = end == std::string::npos ? end : stem.find_last_not_of("0123456789", end);
  const auto start = before == std::string::npos ? 0 : before + 1;
  if (end == std::string::npos || end + 1 - start > 18)
    throw BadFile((fs::path(folder) / name).string(), "is no numbered frame. Fix: name a clip's frames 0001.png, 0002.png, ..., in a folder of their own");
  return std::stoll(stem.substr(start, end + 1 - start));
}

Listing find_clips(const std::string& folder) {
  std::map<std::string, std::map<std::pair<int64_t, std::string>, std::string>> clips;
  for (const auto& name : find_images(folder)) {
    const auto clip = fs::path(name).parent_path().generic_string();
    if (clip.empty())
      throw BadFile((fs::path(folder) / name).string(), "lies outside of a clip (expected folders of numbered frames). Fix: move each clip's frames into a folder of their own");
    clips[clip][{frame_number(folder, name), name}] = name;
  }
  Listing listing{.things = "clips"};
  for (const auto& [clip, frames] : clips) {
    listing.names.push_back(clip);
    for (const auto& [place, name] : frames) listing.frames[clip].push_back(name);
  }
  return listing;
}

std::map<std::string, MetadataRow> read_metadata(const std::string& folder, const ImageFolderOptions& options,
                                                 const Listing& listing) {
  const std::string jsonl = (fs::path(folder) / "metadata.jsonl").string(),
                    csv = (fs::path(folder) / "metadata.csv").string();
  const bool has_jsonl = fs::exists(jsonl), has_csv = fs::exists(csv);
  if (has_jsonl && has_csv) throw BadFile(folder, "has metadata.jsonl and metadata.csv. Fix: keep one of them");
  if (!has_jsonl && !has_csv) return {};
  const std::string& path = has_jsonl ? jsonl : csv;
  const MetadataColumns columns{options.image_column, options.caption_column};
  std::map<std::string, MetadataRow> rows;
  std::vector<std::string> absent;
  for (auto& row : has_jsonl ? read_metadata_jsonl(path, columns) : read_metadata_csv(path, columns)) {
    const fs::path name = fs::path(row.file_name).lexically_normal();
    if (name.is_absolute() || name.string().starts_with(".."))
      throw BadFile(path, message("line ", row.line, ": ", escaped(row.file_name), " is outside the folder"));
    if (!std::binary_search(listing.names.begin(), listing.names.end(), name.generic_string())) {
      absent.push_back(message(escaped(row.file_name), " (line ", row.line, ")"));
      continue;
    }
    const auto [place, fresh] = rows.emplace(name.generic_string(), row);
    if (!fresh)
      throw BadFile(path, message("lines ", place->second.line, " and ", row.line, " both name ",
                                  escaped(row.file_name), ". Fix: give several captions as one list"));
  }
  if (!absent.empty()) throw BadFile(path, message("names ", listing.things, " that are not there: ", first_five(absent)));
  return rows;
}

// The captions of one image or clip before prefix and policy; none when nothing captions it.
std::vector<std::string> captions_of(const std::string& path, bool clip, const MetadataRow* row,
                                     const ImageFolderOptions& options) {
  if (options.caption) return {*options.caption};
  // A dot in a folder's name begins no extension.
  const auto beside = caption_file_of(clip ? path + ".clip" : path, options.caption_extension);
  if (row && !row->captions.empty()) {
    if (beside)
      throw BadFile(path, message("is captioned twice, in the metadata (line ", row->line, ") and in ",
                                  escaped(*beside), ". Fix: keep one of them"));
    return row->captions;
  }
  if (beside) return {read_caption_file(*beside)};
  return {};
}

// Empty when the image is good, else why not. size: of the frames before it, if any.
std::string trouble_with(const std::string& path, bool full, std::map<std::string, int64_t>& notices, std::pair<int64_t, int64_t>& size) {
  try {
    const ImageInfo info = read_image_header(path);
    if (size.first > 0 && size != std::pair(info.width, info.height))
      return message("is ", info.width, " x ", info.height, " pixels in a clip of ", size.first, " x ", size.second);
    size = {info.width, info.height};
    if (info.width == 1 || info.height == 1) return message("has only ", info.width, " x ", info.height, " pixels");
    if (full) read_image(path);
    for (const auto& notice : info.notices) ++notices[notice];
    return {};
  } catch (const BadFile& error) {
    return error.offset() ? message("byte ", *error.offset(), ": ", error.reason()) : error.reason();
  }
}

// The same of a sample: of a clip the first trouble, with the frame's name.
std::string trouble_with(const Sample& sample, bool full, std::map<std::string, int64_t>& notices) {
  std::pair<int64_t, int64_t> size{0, 0};
  if (sample.frames.empty()) return trouble_with(sample.path, full, notices, size);
  for (const auto& frame : sample.frames) {
    if (const auto reason = trouble_with(frame, full, notices, size); !reason.empty())
      return message("frame ", escaped(fs::path(frame).filename().string()), " ", reason);
  }
  return {};
}

std::vector<std::string> as_lines(const std::map<std::string, std::string>& reasons) {
  std::vector<std::string> lines;
  for (const auto& [path, reason] : reasons) lines.push_back(message(escaped(path), " ", reason));
  return lines;
}

std::vector<Sample> read_listed(const std::string& folder, const Listing& listing, const ImageFolderOptions& given, ImageFolderReport* report) {
  ImageFolderOptions options = given;
  check_options(options);
  if (options.caption)
    if (const auto bad = first_bad_utf8(*options.caption))
      throw InvalidArgument(message("caption: byte ", *bad, " is not UTF-8"));
  const auto& things = listing.things;
  const auto rows = options.caption ? std::map<std::string, MetadataRow>{} : read_metadata(folder, options, listing);

  ImageFolderReport found;
  std::map<std::string, std::string> bad;
  std::vector<std::string> without;
  std::vector<Sample> samples;
  for (const auto& name : listing.names) {
    Sample sample{(fs::path(folder) / name).string(), {}};
    const auto frames = listing.frames.find(name);
    if (frames != listing.frames.end())
      for (const auto& frame : frames->second) sample.frames.push_back((fs::path(folder) / frame).string());
    const auto row = rows.find(name);
    sample.captions = captions_of(sample.path, !sample.frames.empty(), row == rows.end() ? nullptr : &row->second, options);
    if (auto reason = trouble_with(sample, options.verify_images == "full", found.notices); !reason.empty()) {
      bad.emplace(sample.path, std::move(reason));
      continue;
    }
    const bool captioned =
        !sample.captions.empty() && std::none_of(sample.captions.begin(), sample.captions.end(),
                                                 [](const auto& text) { return trimmed(text).empty(); });
    if (!captioned && !options.caption) {
      without.push_back(escaped(sample.path));
      if (options.missing_caption == "skip") {
        found.skipped.emplace(sample.path, "has no caption");
        continue;
      }
      if (sample.captions.empty()) sample.captions.emplace_back();
    }
    for (auto& text : sample.captions) text = options.caption_prefix + text;
    samples.push_back(std::move(sample));
  }

  if (!bad.empty() && !options.skip_bad_images)
    throw BadFile(
        folder, message(bad.size(), " of ", listing.names.size(), " ", things, " cannot be used: ", first_five(as_lines(bad), "; "),
                        ". Fix: repair or remove them, or leave them out with --skip-bad-images"));
  if (!without.empty() && options.missing_caption == "error")
    throw BadFile(folder, message(without.size(), " of ", listing.names.size(), " ", things,
                                  " have no caption or an empty one: ", first_five(without),
                                  ". Fix: write metadata.jsonl or a .txt file beside each, or set "
                                  "--caption, --missing-caption empty or --missing-caption skip"));
  if (!bad.empty()) log_warning(message(bad.size(), " bad image(s) left out: ", first_five(as_lines(bad), "; ")));
  if (!without.empty())
    log_warning(message(
        without.size(), " image(s) without a caption ",
        options.missing_caption == "skip" ? "left out: " : "train on the empty caption: ", first_five(without)));
  for (const auto& [notice, count] : found.notices) log_warning(message(count, " image(s): ", notice));
  found.skipped.merge(bad);
  if (samples.empty())
    throw BadFile(
        folder, message("none of its ", listing.names.size(), " ", things, " is left: ", first_five(as_lines(found.skipped), "; ")));
  if (report) *report = std::move(found);
  return samples;
}

}  // namespace

std::vector<std::string> image_names(const std::string& folder, bool quiet) {
  std::error_code code;
  if (!fs::is_directory(folder, code)) throw IoError(folder, "open the folder", code ? code.value() : ENOTDIR);
  std::vector<std::string> images;
  std::map<std::string, int64_t> passed_over;
  const auto walk = fs::directory_options::follow_directory_symlink;
  for (auto it = fs::recursive_directory_iterator(folder, walk, code); !code && it != fs::end(it); it.increment(code)) {
    if (it->path().filename().string().starts_with('.')) {
      it.disable_recursion_pending();
      continue;
    }
    std::error_code ignored;
    if (!it->is_regular_file(ignored)) continue;
    const std::string extension = lower_extension(it->path());
    if (std::find(kRead.begin(), kRead.end(), extension) != kRead.end())
      images.push_back(it->path().lexically_relative(folder).generic_string());
    else if (std::find(kNotRead.begin(), kNotRead.end(), extension) != kNotRead.end())
      ++passed_over[extension];
  }
  if (code) throw IoError(folder, "list the folder", code.value());
  std::sort(images.begin(), images.end());
  for (const auto& [extension, count] : passed_over)
    if (!quiet) log_warning(message(escaped(folder), ": ", count, " ", extension, " file(s) are not read. Fix: convert them to PNG"));
  return images;
}

std::vector<Sample> read_image_folder(const std::string& folder, const ImageFolderOptions& options, ImageFolderReport* report) {
  return read_listed(folder, {.names = find_images(folder)}, options, report);
}

std::vector<Sample> read_clip_folder(const std::string& folder, const ImageFolderOptions& options, ImageFolderReport* report) {
  return read_listed(folder, find_clips(folder), options, report);
}

}  // namespace sara
