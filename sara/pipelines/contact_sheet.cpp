// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/contact_sheet.h"

#include <algorithm>

#include "sara/base/error.h"
#include "sara/pipelines/bitmap_font.h"

namespace sara {
namespace {

constexpr int64_t kMargin = 6, kLabelColumns = 20;

// Lines of at most `columns` characters, broken at blanks; at most `lines` of them.
std::vector<std::u32string> broken(const std::u32string& text, int64_t columns, int64_t lines) {
  std::vector<std::u32string> out;
  size_t at = 0;
  const auto width = static_cast<size_t>(std::max<int64_t>(columns, 1));
  while (at < text.size() && static_cast<int64_t>(out.size()) < lines) {
    size_t end = std::min(at + width, text.size());
    if (end < text.size()) {
      const size_t blank = text.rfind(U' ', end);
      if (blank != std::u32string::npos && blank > at) end = blank;
    }
    out.push_back(text.substr(at, end - at));
    at = end;
    while (at < text.size() && text[at] == U' ') ++at;
  }
  return out;
}

void paste(Image& sheet, const Image& picture, int64_t left, int64_t top, int64_t scale) {
  for (int64_t y = 0; y < picture.height * scale; ++y) {
    for (int64_t x = 0; x < picture.width * scale; ++x) {
      const auto* from = &picture.pixels[((y / scale) * picture.width + x / scale) * 3];
      std::copy(from, from + 3, &sheet.pixels[((top + y) * sheet.width + left + x) * 3]);
    }
  }
}

}  // namespace

Image contact_sheet(const std::vector<std::vector<Image>>& rows, const std::vector<std::string>& row_labels,
                    const std::vector<std::string>& column_labels, int64_t scale) {
  if (scale < 1) throw InvalidArgument(message("contact sheet: scale out of range (expected >= 1, got ", scale, ")"));
  int64_t cell_width = 0, cell_height = 0, columns = 0;
  for (const auto& row : rows) {
    columns = std::max(columns, static_cast<int64_t>(row.size()));
    for (const auto& picture : row) {
      cell_width = std::max(cell_width, picture.width * scale);
      cell_height = std::max(cell_height, picture.height * scale);
    }
  }
  if (cell_width == 0 || cell_height == 0) throw InvalidArgument("contact sheet: no pictures");
  if (row_labels.size() > rows.size() || static_cast<int64_t>(column_labels.size()) > columns) {
    throw InvalidArgument("contact sheet: more labels than rows or columns");
  }
  const int64_t text_scale = std::clamp<int64_t>(cell_width / 128, 1, 4);
  const int64_t letter = kLetterWidth * text_scale, line = kLineHeight * text_scale;
  const int64_t left = kMargin + (row_labels.empty() ? 0 : kLabelColumns * letter + kMargin);
  const int64_t cell_columns = cell_width / letter;
  int64_t heading_lines = 0;
  for (const auto& label : column_labels) {
    heading_lines = std::max(heading_lines, static_cast<int64_t>(broken(code_points(label), cell_columns, 3).size()));
  }
  const int64_t top = kMargin + (heading_lines ? heading_lines * line + kMargin : 0);

  Image sheet;
  sheet.width = left + columns * (cell_width + kMargin);
  sheet.height = top + static_cast<int64_t>(rows.size()) * (cell_height + kMargin);
  sheet.pixels.assign(sheet.width * sheet.height * 3, 255);
  for (size_t c = 0; c < column_labels.size(); ++c) {
    const int64_t x = left + static_cast<int64_t>(c) * (cell_width + kMargin);
    int64_t y = kMargin;
    for (const auto& text : broken(code_points(column_labels[c]), cell_columns, 3)) {
      draw_text(sheet, text, x + (cell_width - static_cast<int64_t>(text.size()) * letter) / 2, y, text_scale);
      y += line;
    }
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const int64_t y = top + static_cast<int64_t>(r) * (cell_height + kMargin);
    if (r < row_labels.size()) {
      const auto lines = broken(code_points(row_labels[r]), kLabelColumns, std::max<int64_t>(cell_height / line, 1));
      int64_t text_y = y + std::max<int64_t>(0, (cell_height - static_cast<int64_t>(lines.size()) * line) / 2);
      for (const auto& text : lines) {
        draw_text(sheet, text, kMargin, text_y, text_scale);
        text_y += line;
      }
    }
    for (size_t c = 0; c < rows[r].size(); ++c) {
      const auto& picture = rows[r][c];
      const int64_t x = left + static_cast<int64_t>(c) * (cell_width + kMargin);
      paste(sheet, picture, x + (cell_width - picture.width * scale) / 2, y + (cell_height - picture.height * scale) / 2, scale);
    }
  }
  return sheet;
}

}  // namespace sara
