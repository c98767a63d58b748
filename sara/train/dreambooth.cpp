// SPDX-License-Identifier: Apache-2.0
#include "sara/train/dreambooth.h"

#include <torch/types.h>

#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/base/log.h"
#include "sara/files/image.h"

namespace sara {
namespace {

constexpr int64_t kClassBatch = 4;  // pictures drawn at a time

std::string class_picture_name(int64_t number, const Image& picture) {
  const auto digits = std::to_string(number);
  Hasher hasher;
  hasher.update(picture.pixels.data(), picture.pixels.size());
  return std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits + "-" + hasher.hex() + ".png";
}

}  // namespace

void draw_class_pictures(const TextToImageParts& parts, const std::string& folder, const std::string& prompt, int64_t first, int64_t count, GenerateOptions how) {
  how.seed += first;
  how.num_images = count;
  how.batch_size = kClassBatch;
  check_drawing(parts, how);
  const auto with = prompt_conditions(parts.text, {prompt});
  const auto without = parts.guidance(how) > 1 ? negative_conditions(parts.text, how.negative_prompt) : TextConditions();
  int64_t written = 0;
  draw_pictures(
      parts, with, without, how,
      [&](int64_t index, const Image& picture) {
        write_png((std::filesystem::path(folder) / class_picture_name(first + index, picture)).string(), picture);
        ++written;
      },
      [&](int64_t done, int64_t total) { log_progress(message("class pictures: ", written, " of ", count, ", step ", done, " of ", total), done == total); });
  log_info(message("drew ", count, " class pictures into ", escaped(folder)));
}

PriorPreservingLoss prior_preserving_loss(const torch::Tensor& answer, const LossTerms& terms, double weight) {
  SARA_CHECK(answer.size(0) % 2 == 0, "a batch of ", answer.size(0));
  const int64_t half = answer.size(0) / 2;
  const auto own = task_loss(answer.narrow(0, 0, half), terms.rows(0, half));
  const auto of_class = task_loss(answer.narrow(0, half, half), terms.rows(half, half));
  return {own + weight * of_class, of_class.detach()};
}

}  // namespace sara
