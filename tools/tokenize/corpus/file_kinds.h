#pragma once
// What the name of a file says about its contents.
#include <filesystem>
#include <optional>
#include <string_view>

#include "corpus/byte_source.h"

namespace gptmoe {

struct TextFormat {
  bool json_lines;
  Compression compression;
};

constexpr std::string_view kReadNames = ".txt, .jsonl, .ndjson or .json, optionally followed by .gz or .zst";

// The format that the end of the name gives, as kReadNames says. Nullopt for other files.
std::optional<TextFormat> text_format(const std::filesystem::path& path);

// The files that describe a folder to the `datasets` library. They hold no text.
bool describes_data_set(const std::filesystem::path& path);

// What to do with a file that is not read although its name promises text or data: "convert it to JSON lines". The text
// has the word "it" once, so that a message about several files can say "them" instead. Such files are tables
// (.parquet, .csv, ...), archives and other compressions (.zip, .bz2, ...), and those whose names are nearly one of
// kReadNames (.TXT, .gz alone). Nullopt for files that are read, and for other kinds (README.md, a checksum, a script).
std::optional<std::string_view> remedy_for_unread(const std::filesystem::path& path);

}  // namespace gptmoe
