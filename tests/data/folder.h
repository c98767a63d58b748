// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "sara/base/message.h"
#include "sara/files/atomic_file.h"
#include "sara/files/image.h"

namespace sara {

// A fresh folder for one test, removed with it.
class Folder {
 public:
  Folder() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::temp_directory_path() / message("sara_data_", getpid(), "_", test->name());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~Folder() { std::filesystem::remove_all(root_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string path(const std::string& name = "") const {
    return name.empty() ? root_.string() : (root_ / name).string();
  }

  std::string text(const std::string& name, std::string_view content) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    write_file(path(name), content);
    return path(name);
  }
  // A PNG whose pixels differ with `shade` and with their place.
  std::string image(const std::string& name, int64_t width = 8, int64_t height = 8, int shade = 0) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    write_png(path(name), pattern(width, height, shade));
    return path(name);
  }
  static Image pattern(int64_t width, int64_t height, int shade) {
    Image image{width, height, {}};
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x)
        for (int64_t c = 0; c < 3; ++c)
          image.pixels.push_back(static_cast<uint8_t>((shade * 40 + x * 7 + y * 3 + c * 50) % 256));
    return image;
  }

 private:
  std::filesystem::path root_;
};

// The text of the error that `call` throws; fails the test when it throws nothing or another kind.
template <class Kind, class Call>
std::string thrown(Call&& call) {
  try {
    call();
  } catch (const Kind& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace sara
