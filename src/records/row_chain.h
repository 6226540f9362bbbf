#pragma once
// The chain of the rows in metrics.jsonl: each row's "previous" is the checksum of the preceding row, and the row's own
// checksum covers "previous" too. So rows that were removed, repeated or moved are detected. Lost rows at the end are
// detected if a checkpoint recorded the checksum of the last row that it covers. Rows of older versions have no
// "previous"; rows that a newer version appends to them are chained.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gptmoe {

inline constexpr const char* kPreviousRow = "previous";

// The checksums by which a line is chained, as text. The seal is not checked here.
struct RowLinks {
  std::optional<std::string_view> previous;  // empty in the first row, and after a row without a checksum
  std::string_view checksum;                 // empty if the row has none
};
RowLinks links_of(std::string_view line);

// A row that a checkpoint covers.
struct SavedRow {
  int64_t step = 0;  // of the checkpoint
  std::string checksum;
};

// What is wrong with the rows as a whole, in at most one line: the first row that does not follow the preceding one, or
// else `saved`, if that row is missing. `content` was read from `file`. A file that tools/thin_runs.sh made has no
// chain.
std::vector<std::string> chain_problems(std::string_view content, const std::filesystem::path& file,
                                        const std::optional<SavedRow>& saved);

}  // namespace gptmoe
