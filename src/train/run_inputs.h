#pragma once
// Finds a run's tokenizer, of which the run's folder keeps a copy, and its shards. Both are found from any current
// folder, and after the run's folder was moved.
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "config/config.h"
#include "records/record.h"

namespace gptmoe {

// The files of a tokenizer: their names in a run's folder and their contents. A file in the format of tokenizer.json
// gets that name, whatever the source is called. The files of the other layouts (tokenizer/tokenizer_file.h) keep their
// names.
struct TokenizerCopy {
  std::filesystem::path source;
  std::vector<std::pair<std::string, std::string>> files;
};

// The tokenizer at `path`; without files if `path` is empty or nothing is there. Throws UserError if it cannot be read
// or is of an unknown kind.
TokenizerCopy read_tokenizer_files(const std::filesystem::path& path);

// The checksum of each file, by its name.
Named<std::string> tokenizer_checksums(const TokenizerCopy& tokenizer);

// Throws UserError, naming the file, if the tokenizer in a run's folder is not the one that history.json records. Runs
// of older versions have no record.
void require_recorded_tokenizer(const std::filesystem::path& run_dir);

// Calls require_recorded_tokenizer(). Also throws UserError, naming the tokenizer's source, if `tokenizer` is not the
// one in the run's folder or, if there is none, the one that history.json records.
void require_same_tokenizer(const std::filesystem::path& run_dir, const TokenizerCopy& tokenizer);

// Writes the copy into a run's folder. If the folder holds a tokenizer already, it must be the same: throws the
// UserError of require_same_tokenizer(). A copy without files changes nothing. Throws UserError if the folder cannot be
// accessed, for example because of a broken link.
void keep_tokenizer(const std::filesystem::path& run_dir, const TokenizerCopy& tokenizer);

// The error of find_tokenizer() if there is no tokenizer.
struct NoTokenizer : UserError {
  using UserError::UserError;
};

// The tokenizer of a checkpoint: the one in the checkpoint's folder, else the copy in its run's folder, else the one
// that the config names, relative to the current folder or to the folder where the run was trained (history.json).
// Throws NoTokenizer naming the paths if there is none. Throws UserError if a path cannot be accessed, or if the
// tokenizer is not the one that state.json or history.json records.
std::filesystem::path find_tokenizer(const std::filesystem::path& checkpoint, const Config& config);

// For a run that continues: throws UserError if data.train or data.val match no file relative to the current folder,
// but match one relative to the folder where the run was last trained (history.json). The error names that folder.
void require_shards_here(const std::filesystem::path& run_dir, const Config& config);

struct FoundShards {
  DataSources sources;
  std::string note;  // tells the user that these are not the tokens that the run read; empty if they are
};

// The validation shards of a checkpoint's run: data.val relative to the current folder, or to the folder where the run
// was trained. If both hold shards, prefers those that the run read. Throws UserError naming the patterns if neither
// holds shards of every set.
FoundShards find_validation_shards(const std::filesystem::path& checkpoint, const Config& config);

}  // namespace gptmoe
