// gptmoe-tokenize: text to tokenizers and token shards.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/check.h"
#include "base/command_line.h"
#include "base/cores.h"
#include "base/file.h"
#include "base/instruction_set.h"
#include "base/printable.h"
#include "base/process_limits.h"
#include "base/standard_streams.h"
#include "commands.h"
#include "train/build_info.h"

namespace {

using namespace gptmoe;

// The options of all subcommands.
struct Arguments {
  TextInput input;
  int64_t max_line_mib = 16;
  std::string on_error = "stop", pattern, tokenizer, output;
  std::vector<std::string> special, shards;
  TokenizerOptions tokenizer_options;
  int64_t vocab_size = 0;
  int threads = usable_cores();
  bool json_lines = false;
  EncodeOptions encode;
  ImportOptions import_options;

  std::optional<SplitPattern> split_pattern() const { return split_pattern_of(pattern); }
  TextInput text_input() const {
    if (max_line_mib < 1 || max_line_mib > 1024) user_error("--max-line-mib ", max_line_mib, ": give 1 to 1024");
    TextInput result = input;
    result.max_line_bytes = max_line_mib << 20;
    result.skip_errors = on_error == "skip";
    return result;
  }
  TokenizerChoice tokenizer_choice() const {
    TokenizerChoice choice{tokenizer, tokenizer_options};
    choice.options.pattern = split_pattern();
    return choice;
  }
  int checked_threads() const {
    if (threads < 1 || threads > 1024) user_error("--threads ", threads, ": give 1 to 1024");
    return threads;
  }
};

std::vector<std::string> split_patterns() {
  std::vector<std::string> names;
  for (const auto pattern : {SplitPattern::gpt2, SplitPattern::llama3, SplitPattern::cl100k, SplitPattern::qwen2})
    names.emplace_back(name_of(pattern));
  return names;
}

void add_text_options(CLI::App* command, Arguments& arguments) {
  command
      ->add_option("--input", arguments.input.paths,
                   "Text: .txt, .jsonl, .ndjson and .json files, also .gz and .zst; folders or patterns; or - for "
                   "standard input")
      ->required();
  command->add_option("--field", arguments.input.field, "The field of .jsonl that holds the text")
      ->capture_default_str();
  command->add_option("--on-error", arguments.on_error, "What to do at a damaged line or file")
      ->check(CLI::IsMember({"stop", "skip"}))
      ->capture_default_str();
  command->add_option("--max-line-mib", arguments.max_line_mib, "Longest line of .jsonl, in MiB")
      ->capture_default_str();
  command->add_option("--threads", arguments.threads, "Threads; the result is the same with any number")
      ->capture_default_str();
}

CLI::Option* add_tokenizer_options(CLI::App* command, Arguments& arguments) {
  auto* tokenizer = command->add_option("--tokenizer", arguments.tokenizer,
                                        "tokenizer.json, vocab.json, a rank file or a folder with one of them");
  command->add_option("--pattern", arguments.pattern, "How a rank file (.tiktoken) splits text into words")
      ->check(CLI::IsMember(split_patterns()))
      ->needs(tokenizer);
  command
      ->add_option("--end-of-text", arguments.tokenizer_options.end_of_text,
                   "The token that ends documents, if it has no usual name")
      ->needs(tokenizer);
  return tokenizer;
}

void add_train(CLI::App& app, Arguments& arguments, int& code) {
  auto* train = app.add_subcommand("train", "Learn a byte-level BPE tokenizer from text");
  add_text_options(train, arguments);
  train
      ->add_option("--vocab-size", arguments.vocab_size,
                   "Number of tokens, including the 256 bytes and the special tokens")
      ->required();
  train->add_option("--output", arguments.output, "The tokenizer.json to write")->required();
  train->add_option("--pattern", arguments.pattern, "How text is split into words [gpt2]")
      ->check(CLI::IsMember(split_patterns()));
  train->add_option(
      "--special", arguments.special,
      "Special tokens. The first of <|endoftext|>, <|end_of_text|> and </s> ends documents; one of them must "
      "be given [" +
          std::string(kEndOfText) + "]");
  train->callback([&] {
    TrainTokenizerOptions options;
    options.vocab_size = arguments.vocab_size;
    options.pattern = arguments.split_pattern().value_or(options.pattern);
    if (!arguments.special.empty()) options.special = arguments.special;
    options.threads = arguments.checked_threads();
    options.output = arguments.output;
    code = train_command(arguments.text_input(), options);
  });
}

void add_encode(CLI::App& app, Arguments& arguments, int& code) {
  auto* encode =
      app.add_subcommand("encode", "Encode text as shards train_*.bin and val_*.bin, or continue an interrupted job");
  add_tokenizer_options(encode, arguments)->required();
  add_text_options(encode, arguments);
  encode->add_option("--val", arguments.input.val_paths, "Text for validation, named like that of --input");
  encode->add_option("--output", arguments.output, "Folder for the shards")->required();
  encode->add_option("--val-fraction", arguments.encode.val_fraction, "Share of documents held out for validation")
      ->capture_default_str();
  encode->add_option("--shard-tokens", arguments.encode.shard_tokens, "Tokens in a shard")->capture_default_str();
  encode->callback([&] {
    arguments.encode.output = arguments.output;
    arguments.encode.threads = arguments.checked_threads();
    code = encode_command(arguments.tokenizer_choice(), arguments.text_input(), arguments.encode);
  });
}

void add_import(CLI::App& app, Arguments& arguments, int& code) {
  ImportOptions& options = arguments.import_options;
  auto* command = app.add_subcommand("import", "Turn token ids of nanoGPT, Megatron or OLMo into shards");
  command->add_option("input", options.inputs, "Files of token ids: .bin, .npy, Megatron's .bin with .idx; or patterns")
      ->required();
  command
      ->add_option("--val", options.val_inputs,
                   "File or pattern for validation (repeatable); the positional inputs are for training")
      ->allow_extra_args(false);
  command->add_option("--output", options.output, "Folder for the shards")->required();
  auto* vocab_size =
      command->add_option("--vocab-size", options.vocab_size, "Size of the vocabulary; every id must be below it");
  auto* tokenizer = add_tokenizer_options(command, arguments);
  tokenizer->excludes(vocab_size);
  std::vector<std::string> types;
  for (const IdType& type : kIdTypes) types.emplace_back(type.name);
  command->add_option("--format", options.format, "Format of the files, if they do not show it")
      ->check(CLI::IsMember(std::vector<std::string>(kTokenFormats.begin(), kTokenFormats.end())));
  command
      ->add_option("--dtype", options.type,
                   "Type of the ids, if the files do not say it [uint16, or uint32 for over 65,536 entries]")
      ->check(CLI::IsMember(types));
  command->add_option("--eot", options.end, "The id that ends documents [that of --tokenizer]");
  command
      ->add_option("--val-fraction", options.val_fraction,
                   "Share of documents held out for validation; needs --eot or --tokenizer, except for Megatron")
      ->capture_default_str();
  command->add_option("--shard-tokens", options.shard_tokens, "Tokens in a shard")->capture_default_str();
  command->callback([&] { code = import_command(arguments.tokenizer_choice(), options); });
}

void add_count(CLI::App& app, Arguments& arguments, int& code) {
  auto* count = app.add_subcommand("count", "Count the tokens of text; writes nothing");
  add_tokenizer_options(count, arguments)->required();
  add_text_options(count, arguments);
  count->callback(
      [&] { code = count_command(arguments.tokenizer_choice(), arguments.text_input(), arguments.checked_threads()); });
}

void add_decode(CLI::App& app, Arguments& arguments, int& code) {
  auto* decode = app.add_subcommand("decode", "Write the text of shards to standard output");
  add_tokenizer_options(decode, arguments)->required();
  decode->add_flag("--jsonl", arguments.json_lines, "Write one line {\"text\": \"...\"} per document");
  decode->add_option("shard", arguments.shards, "Shards, in order")->required();
  decode->callback(
      [&] { code = decode_command(arguments.tokenizer_choice(), arguments.shards, arguments.json_lines); });
}

void add_inspect(CLI::App& app, Arguments& arguments, int& code) {
  auto* inspect = app.add_subcommand("inspect", "Describe shards; with a tokenizer also check every id");
  add_tokenizer_options(inspect, arguments);
  inspect->add_option("shard", arguments.shards, "Shards")->required();
  inspect->callback([&] { code = inspect_command(arguments.tokenizer_choice(), arguments.shards); });
}

int run(int argc, char** argv) {
  CLI::App app("Turns text into tokenizers and token shards, and imports token ids of other programs.");
  app.require_subcommand(1);
  app.set_version_flag("-V,--version", [] { return version_text("gptmoe-tokenize"); });
  Arguments arguments;
  int code = 0;
  add_train(app, arguments, code);
  add_encode(app, arguments, code);
  add_import(app, arguments, code);
  add_count(app, arguments, code);
  add_decode(app, arguments, code);
  add_inspect(app, arguments, code);
  add_help_command(app, "gptmoe-tokenize");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) user_error(describe(app, "gptmoe-tokenize", error));
    app.exit(error);  // --help, --version
  }
  flush_standard_output();
  return code;
}

int report(const std::exception& error, int code) {
  std::fprintf(stderr, "gptmoe-tokenize: %s\n", printable(message_of(error)).c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) try {
  gptmoe::occupy_standard_streams();
  gptmoe::require_compiled_instructions();
  gptmoe::require_stack();
  gptmoe::ignore_file_size_signal();
  gptmoe::ignore_closed_pipes();
  gptmoe::raise_open_file_limit();
  return run(argc, argv);
} catch (const gptmoe::UserError& error) {
  return report(error, 2);
} catch (const std::exception& error) {
  return report(error, 1);
}
