#include "train/given_config.h"

#include "base/file.h"
#include "base/folder.h"
#include "engine/update_rules.h"
#include "records/run_folder.h"
#include "routing/router_table.h"
#include "tokenizer/tokenizer_file.h"
#include "train/run_directory.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse_run(const fs::path& path) {
  user_error(path.string(), ": a run's folder, not a config; give ", (path / kRunConfigFile).string(),
             " (to continue the run, train it with --out ", path.string(), " --resume; to start another from it, with ",
             "--branch ", path.string(), ")");
}

[[noreturn]] void refuse_checkpoint(const fs::path& path, const fs::path& checkpoint) {
  const std::optional<fs::path> run = run_of_checkpoint(checkpoint);
  user_error(path.string(),
             path == checkpoint ? ": a checkpoint, not a config; give " : ": part of a checkpoint, not a config; give ",
             run ? (*run / kRunConfigFile).string() : "a run's config",
             holds_optimizer(checkpoint) ? text(" (to start from the checkpoint, train it with --branch ",
                                                checkpoint.string(), ", or from its weights alone, with --init-from ")
                                         : std::string(" (to start from its weights, train it with --init-from "),
             checkpoint.string(), ")");
}

// Also looks for weights, since other programs write files named state.json too.
bool holds_checkpoint(const fs::path& folder) { return is_checkpoint(folder) && anything_at(folder / kModelFile); }

// Throws UserError if the path is a folder or in a checkpoint.
void require_config_file(const fs::path& path) {
  if (!anything_at(path)) return;  // the code that opens it reports this
  if (file_type_at(path) != fs::file_type::directory) {
    const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
    if (holds_checkpoint(parent)) refuse_checkpoint(path, parent);
    return;
  }
  const fs::path folder = path.has_filename() ? path : path.parent_path();  // without a final slash
  if (holds_checkpoint(folder)) refuse_checkpoint(folder, folder);
  if (holds_run(folder)) refuse_run(folder);
  user_error(path.string(), ": a folder, not a config; give a config file (JSON)");
}

// The id of the token that ends documents: data.end_of_text if it is given, else the id in data.tokenizer or, if that
// is gone, in the run's copy. Throws KeyError if there is no such id, or if it exceeds the model's vocabulary.
int64_t find_document_end(const Config& config, const std::string& file, const fs::path& run) {
  constexpr const char* kNeeds = "data.document_mask needs its end-of-text token; ";
  constexpr const char* kRemedy = "or give the token's id as data.end_of_text";
  std::string path = config.data.tokenizer;
  if (config.data.end_of_text >= 0) return config.data.end_of_text;
  if (path.empty())
    throw KeyError(
        file, "data.document_mask",
        text("needs the token that ends documents; name the shards' tokenizer as data.tokenizer, ", kRemedy));
  if (tokenizer_files(path).empty() && !run.empty() && !tokenizer_files(run).empty()) path = run.string();
  if (tokenizer_files(path).empty())
    throw KeyError(file, "data.tokenizer", text(path, " is not there, and ", kNeeds, "correct the path, ", kRemedy));
  const std::optional<int32_t> end = load_tokenizer(path).end_of_text();
  if (!end)
    throw KeyError(file, "data.tokenizer",
                   text(path, " has no end-of-text token, and ", kNeeds, "name another tokenizer, ", kRemedy));
  if (*end >= config.model.vocab_size)
    throw KeyError(file, "data.tokenizer",
                   text(path, ": the end-of-text token has id ", *end, ", but model.vocab_size is ",
                        config.model.vocab_size, "; raise model.vocab_size, or name the model's tokenizer"));
  return *end;
}

}  // namespace

Config load_given_config(const fs::path& path, const std::vector<std::string>& overrides, const fs::path& run) {
  require_config_file(path);
  int64_t document_end = -1;
  Config config = load_config(path, overrides, [&](const Config& given, const std::string& file) {
    check_router(given, file);
    check_param_groups(given, file);
    if (given.data.document_mask) document_end = find_document_end(given, file, run);
  });
  if (config.data.document_mask) config.data.end_of_text = document_end;
  return config;
}

}  // namespace gptmoe
