// gptmoe-tokenize: text to tokenizers and token shards.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/check.h"
#include "commands.h"

namespace {

using namespace gptmoe;

void add_text_input(CLI::App* command, TextInput& input) {
  command->add_option("--input", input.paths, "Text: .txt, .jsonl, folders of them, or - for standard input")
      ->required();
  command->add_option("--field", input.field, "The field of .jsonl that holds the text")->capture_default_str();
}

void run(int argc, char** argv) {
  CLI::App app("Turns text into tokenizers and token shards.");
  app.require_subcommand(1);
  TextInput input;
  std::string tokenizer, shard, output;
  int64_t vocab_size = 0;
  EncodeOptions options;

  auto* train = app.add_subcommand("train", "Learn a byte-level BPE tokenizer from text");
  add_text_input(train, input);
  train->add_option("--vocab-size", vocab_size, "Tokens, the 256 bytes and <|endoftext|> included")->required();
  train->add_option("--output", output, "The tokenizer.json to write")->required();
  train->callback([&] { train_command(input, vocab_size, output); });

  auto* encode = app.add_subcommand("encode", "Encode text as shards train_*.bin and val_*.bin");
  encode->add_option("--tokenizer", tokenizer, "tokenizer.json")->required();
  add_text_input(encode, input);
  encode->add_option("--output", output, "Folder for the shards")->required();
  encode->add_option("--val-fraction", options.val_fraction, "Share of documents held out for validation")
      ->capture_default_str();
  encode->add_option("--shard-tokens", options.shard_tokens, "Tokens in a shard")->capture_default_str();
  encode->callback([&] {
    options.output = output;
    encode_command(tokenizer, input, options);
  });

  auto* decode = app.add_subcommand("decode", "Write the text of a shard to standard output");
  decode->add_option("--tokenizer", tokenizer, "tokenizer.json")->required();
  decode->add_option("shard", shard, "Shard")->required();
  decode->callback([&] { decode_command(tokenizer, shard); });

  auto* inspect = app.add_subcommand("inspect", "Describe a shard");
  inspect->add_option("shard", shard, "Shard")->required();
  inspect->add_option("--tokenizer", tokenizer, "tokenizer.json: also check the ids and show how the text begins");
  inspect->callback([&] { inspect_command(shard, tokenizer); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) user_error(error.what(), "; see gptmoe-tokenize --help");
    app.exit(error);  // --help
  }
}

int report(const std::exception& error, int code) {
  std::fprintf(stderr, "gptmoe-tokenize: %s\n", error.what());
  return code;
}

}  // namespace

int main(int argc, char** argv) try {
  run(argc, argv);
  return 0;
} catch (const gptmoe::UserError& error) {
  return report(error, 2);
} catch (const std::exception& error) {
  return report(error, 1);
}
