#include "base/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "base/printable.h"

namespace gptmoe {

TerminalSize terminal_size(int fd) {
  if (isatty(fd) != 1) return {};
  winsize window{};
  if (ioctl(fd, TIOCGWINSZ, &window) != 0) window = {};
  return {window.ws_col > 1 ? window.ws_col : 120, window.ws_row > 1 ? window.ws_row : 40};
}

int terminal_columns() {
  if (const char* told = std::getenv(kTerminalColumns)) return std::atoi(told);
  return terminal_size(STDERR_FILENO).columns;
}

ProgressLine::ProgressLine() : live_(terminal_attached()) {}
ProgressLine::~ProgressLine() { clear(); }

void ProgressLine::show(const std::string& line) {
  const auto now = std::chrono::steady_clock::now();
  if (!live_ || now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  const auto width = static_cast<size_t>(std::max(1, terminal_columns() - 1));
  std::fprintf(stderr, "\r%s\033[K", printable(line).substr(0, width).c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressLine::clear() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

double JobClock::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
}

std::string JobClock::state(int64_t done, int64_t total, double seconds) const {
  if (total <= 0) return "";
  std::string state = text(std::min<int64_t>(99, done * 100 / total), " %");  // 100 means finished
  if (done > begun_at_ && seconds >= 1)
    state += ", " + clock_time(seconds * static_cast<double>(total - done) / static_cast<double>(done - begun_at_)) +
             " left";
  return state;
}

std::string metric_count(double value) {
  static constexpr const char* kPrefixes[] = {"", " k", " M", " G", " T", " P"};
  int prefix = 0;
  while (std::abs(value) >= 999.5 && prefix < 5) {
    value /= 1000;
    ++prefix;
  }
  const double size = std::abs(value);
  const int digits = value == std::floor(value) && prefix == 0 ? 0 : size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
  char out[48];
  std::snprintf(out, sizeof out, "%.*f%s", digits, value, kPrefixes[prefix]);
  return out;
}

std::string binary_bytes(int64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  int unit = 0;
  while (value >= 1023.5 && unit < 5) {
    value /= 1024;
    ++unit;
  }
  char out[48];
  std::snprintf(out, sizeof out, "%.*f %s", unit > 0 && value < 99.95 ? 1 : 0, value, kUnits[unit]);
  return out;
}

std::string clock_time(double seconds) {
  const auto total = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  char out[64];
  if (total >= 3600)
    std::snprintf(out, sizeof out, "%lld:%02lld:%02lld", static_cast<long long>(total / 3600),
                  static_cast<long long>(total / 60 % 60), static_cast<long long>(total % 60));
  else
    std::snprintf(out, sizeof out, "%lld:%02lld", static_cast<long long>(total / 60),
                  static_cast<long long>(total % 60));
  return out;
}

std::string grouped_digits(int64_t value) {
  std::string digits = std::to_string(value);
  for (auto position = static_cast<int>(digits.size()) - 3; position > (value < 0 ? 1 : 0); position -= 3)
    digits.insert(digits.begin() + position, ',');
  return digits;
}

std::string plural(int64_t count, const std::string& noun) {
  return text(grouped_digits(count), " ", noun, count == 1 ? "" : "s");
}

}  // namespace gptmoe
