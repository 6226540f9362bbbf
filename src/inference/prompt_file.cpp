#include "inference/prompt_file.h"

#include "base/read_json.h"
#include "config/json_section.h"

namespace gptmoe {

std::vector<Prompt> read_prompts(const std::filesystem::path& path) {
  const std::string content = read_text_file(path);
  const bool json = path.extension() == ".jsonl";
  std::vector<Prompt> prompts;
  std::string_view rest = content;
  for (int64_t number = 1; !rest.empty(); ++number) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    const std::string place = text(path.string(), ":", number);
    if (json)
      prompts.push_back({JsonSection(parse_json_line(line, place), "", place).string("prompt"), place});
    else
      prompts.push_back({std::string(line), place});
  }
  if (prompts.empty())
    user_error(path.string(), ": no prompts; it needs ",
               json ? "a JSON object with the key \"prompt\" on each line" : "a prompt on each line");
  return prompts;
}

}  // namespace gptmoe
