// SPDX-License-Identifier: Apache-2.0
#include "sara/files/foreign_file.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "sara/base/error.h"

namespace sara {
namespace {

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

std::string looks_like(std::string_view first_bytes) {
  using namespace std::string_view_literals;
  if (first_bytes.starts_with("PK\x03\x04"sv)) return "a zip archive, perhaps a PyTorch checkpoint";
  if (first_bytes.size() >= 2 && first_bytes[0] == '\x80' && first_bytes[1] >= 2 && first_bytes[1] <= 5) return "a Python pickle";
  if (first_bytes.starts_with("GGUF"sv)) return "a GGUF model";
  if (first_bytes.starts_with("version https://git-lfs"sv)) return "a Git LFS pointer, the content was not downloaded (git lfs pull)";
  if (first_bytes.starts_with("\x1F\x8B"sv)) return "a gzip archive";
  if (first_bytes.starts_with("\x89HDF\r\n"sv)) return "an HDF5 file";
  const size_t begin = first_bytes.find_first_not_of(" \t\r\n");
  const std::string text = begin == std::string_view::npos ? "" : lower_case(first_bytes.substr(begin, 64));
  if (text.starts_with("<!doctype html") || text.starts_with("<html")) return "an HTML page, perhaps an error page";
  if (text.starts_with("<?xml")) return "an XML page, perhaps an error page";
  if (text.starts_with("{")) return "JSON text";
  return "";
}

void refuse_pickle(const std::string& path) {
  static constexpr std::array<std::string_view, 6> kSuffixes{".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle"};
  const std::string name = lower_case(path);
  for (const std::string_view suffix : kSuffixes)
    if (name.ends_with(suffix))
      throw BadFile(path,
                    "is a pickle file by its name; unpickling can run code, so it is refused (expected safetensors). Fix: convert it "
                    "once with python -c \"import sys, torch, safetensors.torch as s; d = torch.load(sys.argv[1], weights_only=True); "
                    "s.save_file({k: v.clone().contiguous() for k, v in d.get('state_dict', d).items() if torch.is_tensor(v)}, "
                    "sys.argv[2])\" IN OUT.safetensors");
}

}  // namespace sara
