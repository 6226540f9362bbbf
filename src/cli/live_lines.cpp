#include "cli/live_lines.h"

#include <algorithm>

#include "base/check.h"
#include "base/printable.h"
#include "base/progress.h"
#include "report/markup.h"

namespace gptmoe {

LiveLines::LiveLines(std::FILE* file) : file_(file), live_(terminal_size(fileno(file)).columns > 0) {}

void LiveLines::show(const std::vector<std::string>& lines) {
  if (!live_) return;
  const TerminalSize size = terminal_size(fileno(file_));
  const size_t columns = static_cast<size_t>(std::max(2, size.columns)) - 1;
  const size_t room = static_cast<size_t>(std::max(3, size.rows)) - 1;  // the cursor waits on the line below
  const size_t shown = lines.size() > room ? room - 1 : lines.size();
  go_back();
  for (size_t i = 0; i < shown; ++i) std::fprintf(file_, "%s\n", shortened(printable(lines[i]), columns).c_str());
  if (shown < lines.size()) std::fprintf(file_, "%s\n", text("… ", lines.size() - shown, " more").c_str());
  std::fflush(file_);
  drawn_ = shown + (shown < lines.size() ? 1 : 0);
}

void LiveLines::clear() {
  go_back();
  std::fflush(file_);
}

void LiveLines::go_back() {
  if (drawn_ > 0) std::fprintf(file_, "\r\033[%zuA\033[J", drawn_);
  drawn_ = 0;
}

}  // namespace gptmoe
