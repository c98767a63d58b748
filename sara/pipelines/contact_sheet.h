// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/files/image.h"

namespace sara {

// Pictures in rows and columns on white, with a label left of each row and above each column. Every picture is enlarged
// `scale` times (each pixel a square) and centred in a cell as large as the largest one. Labels are broken to lines and cut
// where they do not fit. Either list of labels may be empty; rows may have different lengths; an empty picture leaves its cell white.
// Throws InvalidArgument when there is no picture, scale is below 1, or there are more labels than rows or columns.
Image contact_sheet(const std::vector<std::vector<Image>>& rows, const std::vector<std::string>& row_labels,
                    const std::vector<std::string>& column_labels, int64_t scale);

}  // namespace sara
