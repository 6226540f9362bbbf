#include "records/run_history.h"

#include <algorithm>

#include "base/file.h"
#include "base/seal.h"
#include "records/record_json.h"

namespace gptmoe {

RunHistory read_history(const std::filesystem::path& run_dir) {
  const std::filesystem::path path = run_dir / kHistoryFile;
  const char* remedy = "restore it, or remove it to continue without a record of data and config changes";
  if (file_type_at(path) == std::filesystem::file_type::not_found) return {};
  const std::string content = read_text_file(path);  // its errors do not advise to remove the file
  return with_remedy(remedy, [&] {
    return read_record<RunHistory>(parse_sealed_json<nlohmann::ordered_json>(content, path.string()), path.string());
  });
}

bool same_tokens(const std::vector<DataFile>& a, const std::vector<DataFile>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const DataFile& one, const DataFile& other) {
    return one.tokens == other.tokens && one.checksum == other.checksum;
  });
}

}  // namespace gptmoe
