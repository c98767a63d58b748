// SPDX-License-Identifier: Apache-2.0
#include "sara/files/manifest.h"

#include <algorithm>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/files/atomic_file.h"

namespace sara {
namespace {

namespace fs = std::filesystem;
constexpr const char* kManifest = "manifest.json";
constexpr const char* kSeal = "manifest.xxh3";
constexpr uint64_t kPiece = 4 << 20;  // bytes read at a time

std::string path_in(const std::string& folder, const std::string& name) { return (fs::path(folder) / name).string(); }

std::string content_digest(const InputFile& file) {
  Hasher hasher;
  std::string piece(std::min(file.size(), kPiece), '\0');
  for (uint64_t at = 0; at < file.size(); at += piece.size()) {
    piece.resize(std::min(kPiece, file.size() - at));
    file.read(at, piece.data(), piece.size());
    hasher.update(piece);
  }
  return hasher.hex();
}

std::string text_digest(std::string_view text) {
  Hasher hasher;
  hasher.update(text);
  return hasher.hex();
}

void require_present(const std::string& path) {
  std::error_code failure;
  if (!fs::exists(path, failure)) throw BadFile(path, "is missing");
}

struct Entry {
  std::string path, digest;
  uint64_t bytes;
};

std::vector<Entry> entries(const std::string& folder, const Json& manifest) {
  const auto path = path_in(folder, kManifest);
  const auto files = manifest.is_object() ? manifest.find("files") : manifest.end();
  if (!manifest.is_object() || files == manifest.end() || !files->is_object()) throw BadFile(path, "lists no files");
  std::vector<Entry> out;
  for (const auto& [name, entry] : files->items()) {
    const bool plain = !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
    if (!plain) throw BadFile(path, message("lists ", escaped(name), ", which is no plain file name"));
    if (!entry.is_object() || !entry.contains("bytes") || !entry["bytes"].is_number_unsigned() || !entry.contains("xxh3_128") || !entry["xxh3_128"].is_string())
      throw BadFile(path, message("says nothing of the content of ", escaped(name)));
    out.push_back({path_in(folder, name), entry["xxh3_128"].get<std::string>(), entry["bytes"].get<uint64_t>()});
  }
  return out;
}

Json checked(const std::string& folder, bool contents) {
  const auto path = path_in(folder, kManifest), seal = path_in(folder, kSeal);
  require_present(path);
  require_present(seal);
  const std::string text = read_file(path);
  if (read_file(seal) != text_digest(text) + "\n") throw BadFile(path, "does not fit its checksum in manifest.xxh3");
  Json manifest = parse_json(text, path);
  for (const Entry& entry : entries(folder, manifest)) {
    require_present(entry.path);
    const InputFile file(entry.path);
    if (file.size() != entry.bytes) throw BadFile(entry.path, message("has another size (expected ", entry.bytes, " bytes, got ", file.size(), ")"));
    if (contents && content_digest(file) != entry.digest) throw BadFile(entry.path, "does not fit its checksum in manifest.json");
  }
  return manifest;
}

}  // namespace

void write_manifest(const std::string& folder, const std::vector<std::string>& names, Json facts) {
  Json files = Json::object();
  for (const auto& name : names) {
    const InputFile file(path_in(folder, name));
    files[name] = {{"bytes", file.size()}, {"xxh3_128", content_digest(file)}};
  }
  facts["files"] = std::move(files);
  const std::string text = facts.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";  // a path need not be UTF-8
  write_file(path_in(folder, kManifest), text);
  write_file(path_in(folder, kSeal), text_digest(text) + "\n");
}

Json read_manifest(const std::string& folder) { return checked(folder, false); }
Json verified_manifest(const std::string& folder) { return checked(folder, true); }

}  // namespace sara
