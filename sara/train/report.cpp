// SPDX-License-Identifier: Apache-2.0
#include "sara/train/report.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <sstream>

#include "sara/files/atomic_file.h"

namespace sara {
namespace {

namespace fs = std::filesystem;
constexpr double kWidth = 720, kHeight = 300, kLeft = 60, kRight = 15, kTop = 15, kBottom = 40;
constexpr size_t kPoints = 700;  // more than one point a pixel shows nothing

std::string html(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string base64(const std::string& bytes) {
  static const char* const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t have = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j) group = group << 8 | (j < have ? static_cast<unsigned char>(bytes[i + j]) : 0);
    for (size_t j = 0; j < 4; ++j) out += j <= have ? digits[group >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

struct Curve {
  std::vector<double> steps, values;
};

// At most kPoints means over equal stretches of the finite losses.
Curve thinned(const std::vector<double>& losses) {
  Curve curve;
  const size_t stretch = std::max<size_t>(1, (losses.size() + kPoints - 1) / kPoints);
  for (size_t first = 0; first < losses.size(); first += stretch) {
    double sum = 0;
    size_t count = 0;
    for (size_t i = first; i < std::min(losses.size(), first + stretch); ++i) {
      if (!std::isfinite(losses[i])) continue;
      sum += losses[i];
      ++count;
    }
    if (count) {
      curve.steps.push_back(double(first) + double(stretch) / 2);
      curve.values.push_back(sum / double(count));
    }
  }
  return curve;
}

Curve running_mean(const Curve& curve) {
  Curve mean = curve;
  const size_t half = std::max<size_t>(1, curve.values.size() / 40);
  for (size_t i = 0; i < curve.values.size(); ++i) {
    const size_t first = i > half ? i - half : 0, end = std::min(curve.values.size(), i + half + 1);
    double sum = 0;
    for (size_t j = first; j < end; ++j) sum += curve.values[j];
    mean.values[i] = sum / double(end - first);
  }
  return mean;
}

// The folders of samples in the order of training.
std::vector<std::string> sample_moments(const std::string& folder) {
  std::vector<std::string> steps;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(fs::path(folder) / "samples", failure)) {
    if (const auto name = entry.path().filename().string(); name.rfind("step-", 0) == 0) steps.push_back(name);
  }
  std::sort(steps.begin(), steps.end());
  steps.insert(steps.begin(), "before");
  steps.push_back("after");
  return steps;
}

}  // namespace

std::string loss_chart(const std::vector<double>& losses) {
  std::ostringstream svg;
  svg << std::setprecision(4) << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << kWidth << " " << kHeight << "\" width=\"" << kWidth
      << "\" height=\"" << kHeight << "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  const auto curve = thinned(losses);
  if (!curve.values.empty()) {
    const auto [low, high] = std::minmax_element(curve.values.begin(), curve.values.end());
    const double bottom = *low, span = std::max(*high - *low, 1e-12), steps = double(losses.size());
    const auto x = [&](double step) { return kLeft + (kWidth - kLeft - kRight) * step / steps; };
    const auto y = [&](double loss) { return kTop + (kHeight - kTop - kBottom) * (1 - (loss - bottom) / span); };
    for (int tick = 0; tick <= 4; ++tick) {
      const double loss = bottom + span * tick / 4, step = steps * tick / 4;
      svg << "<line x1=\"" << kLeft << "\" x2=\"" << kWidth - kRight << "\" y1=\"" << y(loss) << "\" y2=\"" << y(loss) << "\" stroke=\"#ddd\"/>"
          << "<text x=\"" << kLeft - 6 << "\" y=\"" << y(loss) + 4 << "\" text-anchor=\"end\">" << loss << "</text>"
          << "<text x=\"" << x(step) << "\" y=\"" << kHeight - kBottom + 18 << "\" text-anchor=\"middle\">" << int64_t(step) << "</text>\n";
    }
    const auto line = [&](const Curve& drawn, const char* colour, double width) {
      svg << "<polyline fill=\"none\" stroke=\"" << colour << "\" stroke-width=\"" << width << "\" points=\"";
      for (size_t i = 0; i < drawn.values.size(); ++i) svg << x(drawn.steps[i]) << "," << y(drawn.values[i]) << " ";
      svg << "\"/>\n";
    };
    line(curve, "#b9c9e8", 1);
    line(running_mean(curve), "#1f4fa8", 2);
  }
  svg << "<text x=\"" << kWidth / 2 << "\" y=\"" << kHeight - 6 << "\" text-anchor=\"middle\">step</text>"
      << "<text x=\"12\" y=\"" << kHeight / 2 << "\" transform=\"rotate(-90 12 " << kHeight / 2 << ")\" text-anchor=\"middle\">loss</text>\n</svg>\n";
  return svg.str();
}

std::string report_page(const std::string& folder, const Json& summary, const std::string& config_toml, const std::vector<double>& losses,
                        const std::vector<std::string>& prompts) {
  std::ostringstream page;
  page << "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>sara training report</title>\n"
          "<style>body{font:15px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em .8em;text-align:left;vertical-align:top}"
          "img{image-rendering:pixelated;min-width:128px}pre{background:#f4f4f4;padding:1em}</style>\n<h1>Training report</h1>\n<table>\n";
  for (const auto& [key, value] : summary.items()) {
    page << "<tr><th>" << html(key) << "</th><td>" << html(value.is_string() ? value.get<std::string>() : value.dump()) << "</td></tr>\n";
  }
  page << "</table>\n<h2>Loss</h2>\n" << loss_chart(losses);
  if (!prompts.empty()) {
    const auto moments = sample_moments(folder);
    page << "<h2>Samples</h2>\n<table><tr><th>prompt</th>";
    for (const auto& when : moments) page << "<th>" << (when == "before" ? "base" : when == "after" ? "trained" : html(when)) << "</th>";
    page << "</tr>\n";
    for (size_t i = 0; i < prompts.size(); ++i) {
      page << "<tr><td>" << html(prompts[i]) << "</td>";
      for (const auto& when : moments) {
        const auto path = fs::path(folder) / "samples" / when / (std::to_string(i) + ".png");
        page << "<td>";
        if (fs::exists(path)) page << "<img alt=\"" << when << "\" src=\"data:image/png;base64," << base64(read_file(path.string())) << "\">";
        page << "</td>";
      }
      page << "</tr>\n";
    }
    page << "</table>\n";
  }
  page << "<h2>Configuration</h2>\n<pre>" << html(config_toml) << "</pre>\n</html>\n";
  return page.str();
}

}  // namespace sara
