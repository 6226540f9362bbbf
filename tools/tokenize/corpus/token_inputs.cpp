#include "corpus/token_inputs.h"

#include <map>
#include <optional>

#include "base/check.h"
#include "base/file.h"
#include "corpus/input_files.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// The files that one input names, with .idx files among them.
std::vector<fs::path> expand(const std::string& input) {
  if (const fs::file_type type = file_type_at(input); type == fs::file_type::directory)
    user_error(input, ": a folder; name the files in it, such as '", (fs::path(input) / "*.npy").string(), "'");
  else if (type == fs::file_type::regular)
    return {input};
  else if (type != fs::file_type::not_found)
    user_error(input, ": not a regular file, but import reads its inputs twice; write the ids to a file first");
  if (file_type_at(input + ".bin") != fs::file_type::not_found) return {input + ".bin"};
  std::vector<fs::path> matches = glob_files(input);
  if (matches.empty()) user_error(input, ": no such file; correct the input");
  return matches;
}

}  // namespace

std::vector<std::string> list_token_files(const std::vector<std::string>& inputs) {
  std::vector<std::string> files;
  std::map<FileId, fs::path> named;  // a file, and the path that named it first
  for (const std::string& input : inputs)
    for (const fs::path& path : expand(input)) {
      const std::string extension = path.extension();
      fs::path file = path;
      if (extension == ".idx") file.replace_extension(".bin");
      const std::optional<FileId> id = file_id(file);
      if (!id && extension == ".idx")
        user_error(file.string(), ": no such file, but it holds the ids that ", path.filename().string(),
                   " describes; copy it there");
      if (!id) user_error(file.string(), ": no such file; correct the input");
      const auto [first, is_new] = named.emplace(*id, path);
      if (is_new)
        files.push_back(file.string());
      else if (first->second == path)
        user_error(path.string(), ": named twice; name it once");
      else if (first->second.extension() == extension)
        user_error(path.string(), ": the same file as ", first->second.string(), "; name it once");
    }
  return files;
}

}  // namespace gptmoe
