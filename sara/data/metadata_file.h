// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sara {

// One line of an imagefolder's metadata: which file, and its captions.
struct MetadataRow {
  std::string file_name;              // as written, relative to the metadata file
  std::vector<std::string> captions;  // trimmed; none when the caption column is absent or null
  int64_t line = 0;                   // 1-based, for messages
};

// Which columns matter. Hugging Face's imagefolder calls the file column `file_name` on disk and `image` once loaded;
// so does
// --image_column: "image" reads `file_name`, any other name is read as it is.
struct MetadataColumns {
  std::string image = "image";
  std::string caption = "text";
};

// metadata.jsonl: one JSON object a line; the caption is a string or a list of strings. Blank lines are passed over.
// Throws BadFile naming line and column, IoError.
std::vector<MetadataRow> read_metadata_jsonl(const std::string& path, const MetadataColumns& columns);

// metadata.csv: RFC 4180 (quotes doubled inside quotes, line breaks allowed there), the first line names the columns.
// Throws BadFile naming line and column, IoError.
std::vector<MetadataRow> read_metadata_csv(const std::string& path, const MetadataColumns& columns);

}  // namespace sara
