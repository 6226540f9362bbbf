#include "huggingface/import.h"

#include <cstdio>

#include "base/joined.h"
#include "base/printable.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/path_check.h"
#include "engine/describe.h"
#include "huggingface/folder_in_progress.h"
#include "tokenizer/json_source.h"
#include "tokenizer/tokenizer_file.h"
#include "train/run_inputs.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

struct ImportArguments {
  std::string model, out;
};

// The tokenizer's files, or why there are none.
struct ImportTokenizer {
  std::vector<std::pair<std::string, std::string>> files;
  std::string why_none;
};

// The number of tokens in the folder's tokenizer. Throws the errors of load_tokenizer(), and UserError if one of the
// tokenizer's other JSON files is damaged.
int64_t count_tokens(const fs::path& folder) {
  try {
    for (const fs::path& file : tokenizer_files(folder))
      if (file.extension() == ".json") JsonSource{file};
    return load_tokenizer(folder).vocab_size();
  } catch (const UnsupportedTokenizer&) {
    throw;
  } catch (const UserError& error) {
    user_error(error.what(), "; restore the file, or remove it to import the model without a tokenizer");
  }
}

// The folder's tokenizer, or why the model is imported without it: there is none, gptmoe does not support its kind, or
// it has more tokens than the model's vocabulary. Throws UserError if a file is damaged or cannot be read.
ImportTokenizer import_tokenizer(const fs::path& folder, const ModelConfig& model) {
  TokenizerCopy copy = read_tokenizer_files(folder);
  if (copy.files.empty()) return {{}, "the folder has none"};
  try {
    const int64_t tokens = count_tokens(folder);
    if (tokens <= model.vocab_size) return {std::move(copy.files), ""};
    return {{}, text(tokens, " tokens, but vocab_size is ", model.vocab_size)};
  } catch (const UnsupportedTokenizer& error) {
    return {{}, error.what()};
  }
}

void run(const ImportArguments& arguments) {
  require_free_folder(arguments.out);
  const ModelFolder model(arguments.model);
  const Config& config = model.config();
  const ImportTokenizer tokenizer = import_tokenizer(model.path(), config.model);
  const ImportedFiles written = import_model(model, arguments.out, tokenizer.files);
  std::printf("class       %s\n", model.family().architecture);
  std::printf("model       %s\n", describe_model(config.model).c_str());
  if (config.model.moe_layers() > 0) std::printf("router      %s\n", describe_router(config.router).c_str());
  std::printf("tensors     %s, %s, f32\n", grouped_digits(written.tensors).c_str(),
              binary_bytes(written.bytes).c_str());
  std::printf("tokenizer   %s\n", tokenizer.why_none.empty() ? tokenizer.files[0].first.c_str()
                                                             : printable("none: " + tokenizer.why_none).c_str());
  if (!model.ignored_keys().empty())
    std::printf("ignored     unknown keys of config.json: %s\n", printable(joined(model.ignored_keys())).c_str());
  std::printf("imported    %s\n", printable(arguments.out).c_str());
}

}  // namespace

void add_import_command(CLI::App& app) {
  auto arguments = std::make_shared<ImportArguments>();
  CLI::App* command = app.add_subcommand("import", "Write the model of a Hugging Face folder as a checkpoint");
  command->add_option("model", arguments->model, "Folder with config.json and model.safetensors")
      ->required()
      ->check(path_given());
  command->add_option("--out", arguments->out, "The checkpoint to write, a new or empty folder")
      ->required()
      ->check(path_given());
  command->callback([arguments] { run(*arguments); });
}

}  // namespace gptmoe
