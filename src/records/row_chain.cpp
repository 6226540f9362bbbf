#include "records/row_chain.h"

#include "base/check.h"
#include "base/seal.h"
#include "records/metrics_file.h"

namespace gptmoe {
namespace {

constexpr std::string_view kKey = "\"previous\":", kSeal = ",\"checksum\":\"";  // the last two keys of a line
constexpr std::string_view kThinned = "{\"event\":\"thinned\"";

}  // namespace

RowLinks links_of(std::string_view line) {
  RowLinks links;
  links.checksum = seal_digits(line);
  if (links.checksum.empty()) return links;
  std::string_view body = line.substr(0, static_cast<size_t>(links.checksum.data() - line.data()) - kSeal.size());
  if (!body.ends_with('"')) return links;
  body.remove_suffix(1);
  const size_t open = body.rfind('"');
  if (open != std::string_view::npos && body.substr(0, open).ends_with(kKey)) links.previous = body.substr(open + 1);
  return links;
}

std::vector<std::string> chain_problems(std::string_view content, const std::filesystem::path& file,
                                        const std::optional<SavedRow>& saved) {
  std::vector<std::string> problems;
  if (content.starts_with(kThinned)) return problems;
  std::string_view last;
  bool chained = false, found = !saved;
  int64_t number = 0;
  for_each_complete_line(content, [&](std::string_view line) {
    const RowLinks links = links_of(line);
    ++number;
    const bool follows = links.previous ? *links.previous == last : !chained;
    if (!follows && problems.empty())
      problems.push_back(text(file.string(), ":", number,
                              ": rows before this line were removed, repeated or moved; restore the file from a copy"));
    chained = chained || links.previous;
    last = links.checksum;
    found = found || last == saved->checksum;
  });
  if (!found && problems.empty())
    problems.push_back(text(file.string(), ": the row that was last when step ", saved->step,
                            " was saved is gone, and perhaps rows before it; restore the file from a copy"));
  return problems;
}

}  // namespace gptmoe
