#include "corpus/manifest.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <limits>
#include <utility>

#include "base/json.h"
#include "base/progress.h"
#include "base/rng.h"
#include "base/seal.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::string_view kFormat = kManifestFormat;
constexpr int kVersion = 2;
constexpr int kUnsealedVersion = 1;  // without seal and checksums of shards

// Paths are bytes; JSON is UTF-8.
std::string printable(const std::string& path) { return replace_malformed(path); }

ordered_json split_json(const SplitRecord& split, const std::string& name, bool unfinished) {
  ordered_json shards = ordered_json::array();
  for (size_t i = 0; i < split.shards.finished.size(); ++i) {
    const FinishedShard& shard = split.shards.finished[i];
    shards.push_back({{"file", shard_name(name, i)}, {"tokens", shard.tokens}});
    if (!shard.seal.checksum.empty())
      shards.back().update({{"checksum", shard.seal.checksum}, {"samples", shard.seal.samples}});
  }
  ordered_json section = ordered_json::object();
  for (const auto& [key, count] :
       {std::pair("documents", split.counts.documents), std::pair("bytes", split.counts.bytes)})
    if (count > 0 || split.counts.tokens == 0) section[key] = count;
  section["tokens"] = split.counts.tokens;
  section["shards"] = std::move(shards);
  if (unfinished) section["unfinished_shard_tokens"] = split.shards.unfinished;
  if (unfinished && split.shards.unfinished > 0)
    section["unfinished_shard_checksum"] = split.shards.unfinished_checksum;
  return section;
}

ordered_json inputs_json(const std::vector<InputFile>& inputs) {
  ordered_json files = ordered_json::array();
  for (const InputFile& file : inputs)
    files.push_back({{"path", printable(file.path)}, {"bytes", file.bytes}, {"mtime_ns", file.mtime_ns}});
  return files;
}

int64_t count_at(const json& object, const char* key, int64_t least = 0,
                 int64_t most = std::numeric_limits<int64_t>::max()) {
  const json& value = object.at(key);
  if (!value.is_number_integer() || value.get<int64_t>() < least || value.get<int64_t>() > most)
    throw std::out_of_range(text("\"", key, "\" is not a count"));
  return value.get<int64_t>();
}

double share_at(const json& object, const char* key) {
  const auto value = object.at(key).get<double>();
  if (!(value >= 0 && value <= 1)) throw std::out_of_range(text("\"", key, "\" is not a share"));
  return value;
}

SplitRecord parse_split(const json& section, bool unfinished, int64_t shard_tokens) {
  SplitRecord split;
  split.counts.tokens = count_at(section, "tokens");
  if (section.contains("documents")) split.counts.documents = count_at(section, "documents");
  if (section.contains("bytes")) split.counts.bytes = count_at(section, "bytes");
  int64_t tokens = 0;
  for (const json& shard : section.at("shards")) {
    const FinishedShard& finished = split.shards.finished.emplace_back(FinishedShard{
        count_at(shard, "tokens", 1, shard_tokens), {shard.value("checksum", ""), shard.value("samples", "")}});
    tokens += finished.tokens;
  }
  if (unfinished) tokens += split.shards.unfinished = count_at(section, "unfinished_shard_tokens", 0, shard_tokens - 1);
  split.shards.unfinished_checksum = section.value("unfinished_shard_checksum", "");
  if (tokens != split.counts.tokens) throw std::out_of_range("the shards do not hold the split's tokens");
  return split;
}

Manifest parse(const json& root) {
  Manifest manifest;
  JobIdentity& identity = manifest.identity;
  const auto format = root.at("format").get<std::string>();
  if (format.starts_with(kFormat)) identity.command = format.substr(kFormat.size());
  if ((identity.command != "encode" && identity.command != "import") ||
      (root.at("version") != kVersion && root.at("version") != kUnsealedVersion))
    throw std::out_of_range(text("expected format \"", kFormat, "encode\" or \"", kFormat, "import\", version ",
                                 kUnsealedVersion, " or ", kVersion));
  identity.tokenizer = root.at("tokenizer").at("fingerprint").get<std::string>();
  identity.vocab_size = count_at(root.at("tokenizer"), "vocab_size", 1);
  identity.end_of_text = root.at("tokenizer").at("end_of_text").get<std::string>();
  identity.val_fraction = share_at(root.at("options"), "val_fraction");
  identity.shard_tokens = count_at(root.at("options"), "shard_tokens", 1, kMaxShardTokens);
  for (const auto& [name, value] : root.at("options").items())
    if (name != "val_fraction" && name != "shard_tokens") identity.options.emplace_back(name, value.get<std::string>());
  for (const json& file : root.at("inputs"))
    identity.inputs.push_back({file.at("path").get<std::string>(), count_at(file, "bytes"),
                               count_at(file, "mtime_ns", std::numeric_limits<int64_t>::min())});
  const bool unfinished = root.contains("resume");
  manifest.train = parse_split(root.at("train"), unfinished, identity.shard_tokens);
  manifest.val = parse_split(root.at("val"), unfinished, identity.shard_tokens);
  manifest.skipped.count = count_at(root.at("skipped_errors"), "count");
  manifest.skipped.first = root.at("skipped_errors").at("first").get<std::vector<std::string>>();
  if (unfinished) {
    const json& resume = root.at("resume");
    manifest.resume = {
        {count_at(resume, "file", 0, std::ssize(identity.inputs)), count_at(resume, "byte"), count_at(resume, "line")},
        share_at(resume, "lowest_split_position")};
  }
  return manifest;
}

// FNV-1a over values and their lengths, so that two different sequences never give the same bytes.
class Fingerprint {
 public:
  void add(std::string_view bytes) {
    add(std::ssize(bytes));
    hash_ = hash_bytes(bytes, hash_);
  }
  void add(int64_t value) { hash_ = hash_bytes({reinterpret_cast<const char*>(&value), sizeof value}, hash_); }
  std::string hex() const {
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash_));
    return digits;
  }

 private:
  uint64_t hash_ = hash_bytes("");
};

std::string name_of_input(const InputFile& file) {
  return text(printable(file.path), " of ", plural(file.bytes, "byte"));
}

// "2026-01-31 12:00:00.000000000 UTC".
std::string utc(int64_t nanoseconds) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t fraction = (nanoseconds % kSecond + kSecond) % kSecond;
  const auto seconds = static_cast<time_t>((nanoseconds - fraction) / kSecond);
  std::tm parts{};
  char day[48], out[72];
  if (!gmtime_r(&seconds, &parts) || std::strftime(day, sizeof day, "%F %T", &parts) == 0)
    return std::to_string(nanoseconds) + " ns";
  std::snprintf(out, sizeof out, "%s.%09lld UTC", day, static_cast<long long>(fraction));
  return out;
}

}  // namespace

std::string shortest(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

std::string tokenizer_fingerprint(const Tokenizer& tokenizer) {
  const Vocabulary& vocabulary = tokenizer.vocabulary();
  Fingerprint print;
  print.add(std::ssize(vocabulary.tokens));
  for (const std::string& token : vocabulary.tokens) print.add(token);
  print.add(std::ssize(vocabulary.merges));
  for (const Merge& merge : vocabulary.merges)
    for (int32_t part : {merge.left, merge.right, merge.result, merge.rank}) print.add(part);
  print.add(std::ssize(vocabulary.added));
  for (const AddedToken& token : vocabulary.added)
    for (int32_t part : {token.id, int32_t{token.special}, int32_t{token.normalized}}) print.add(part);
  print.add(name_of(vocabulary.pattern));
  print.add(vocabulary.nfc);
  print.add(vocabulary.whole_words);
  print.add(vocabulary.end_of_text.value_or(-1));
  return print.hex();
}

void write_manifest(const fs::path& folder, const Manifest& manifest) {
  const JobIdentity& identity = manifest.identity;
  const bool unfinished = manifest.resume.has_value();
  const int64_t tokens = manifest.train.counts.tokens + manifest.val.counts.tokens;
  const int64_t bytes = manifest.train.counts.bytes + manifest.val.counts.bytes;
  ordered_json root = {{"format", std::string(kFormat) + identity.command},
                       {"version", kVersion},
                       {"tokenizer",
                        {{"fingerprint", identity.tokenizer},
                         {"vocab_size", identity.vocab_size},
                         {"end_of_text", identity.end_of_text}}},
                       {"options", {{"val_fraction", identity.val_fraction}, {"shard_tokens", identity.shard_tokens}}},
                       {"inputs", inputs_json(identity.inputs)}};
  if (bytes > 0)
    root["bytes_per_token"] = std::round(static_cast<double>(bytes) * 1e4 / static_cast<double>(tokens)) / 1e4;
  root["train"] = split_json(manifest.train, "train", unfinished);
  root["val"] = split_json(manifest.val, "val", unfinished);
  root["skipped_errors"] = {{"count", manifest.skipped.count}, {"first", manifest.skipped.first}};
  for (const auto& [name, value] : identity.options) root["options"][name] = value;
  if (unfinished)
    root["resume"] = {{"file", manifest.resume->input.file},
                      {"byte", manifest.resume->input.byte},
                      {"line", manifest.resume->input.line},
                      {"lowest_split_position", manifest.resume->lowest_position}};
  write_text_file(folder / kManifestName, sealed(root.dump(2, ' ', false, ordered_json::error_handler_t::replace)));
}

Manifest read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestName;
  const std::string remedy = "choose another --output, or remove " + folder.string() + " and start over";
  // If the file cannot be read, this throws without the remedy: a manifest that may be intact must not be removed.
  const std::string content = read_text_file(path);
  std::string why;
  try {
    const json root =
        with_remedy(text("restore it, or ", remedy), [&] { return parse_sealed_json(content, path.string()); });
    if (root.value("version", json()) == kVersion && !root.contains("checksum"))
      throw std::out_of_range("its checksum is missing");
    return parse(root);
  } catch (const json::exception& error) {
    why = error.what();
    why.erase(0, why.find("] ") + 2);  // the library's name of the exception
  } catch (const std::out_of_range& error) {
    why = error.what();
  }
  user_error(path.string(), ": not a manifest of this version of gptmoe-tokenize (", why, "); ", remedy);
}

void check_same_job(const fs::path& folder, const JobIdentity& recorded, const JobIdentity& asked) {
  const auto refuse = [&](const std::string& how, const std::string& now) {
    user_error((folder / kManifestName).string(), ": the shards here were started ", how, ", but now ", now,
               "; repeat that command, choose another --output, or remove the folder");
  };
  const auto differs = [&](const std::string& what, const auto& was, const auto& is) {
    const std::string before = text(was), now = text(is);
    if (before == kNotGiven) refuse("without " + what, text(what, now.empty() ? "" : " ", now, " is given"));
    if (now == kNotGiven) refuse(text("with ", what, before.empty() ? "" : " ", before), what + " is not given");
    refuse(text("with ", what, " ", before), "it is " + now);
  };
  if (recorded.command != asked.command) differs("the command", recorded.command, asked.command);
  if (recorded.tokenizer.empty() != asked.tokenizer.empty())
    differs("--tokenizer", recorded.tokenizer.empty() ? kNotGiven : "", asked.tokenizer.empty() ? kNotGiven : "");
  if (asked.tokenizer.empty() && recorded.vocab_size != asked.vocab_size)
    differs("--vocab-size", recorded.vocab_size, asked.vocab_size);
  if (recorded.tokenizer != asked.tokenizer)
    differs("the tokenizer of fingerprint", text(recorded.tokenizer, " (", recorded.vocab_size, " entries)"),
            text(asked.tokenizer, " (", asked.vocab_size, " entries)"));
  if (recorded.end_of_text != asked.end_of_text) differs("--end-of-text", recorded.end_of_text, asked.end_of_text);
  if (recorded.val_fraction != asked.val_fraction)
    differs("--val-fraction", shortest(recorded.val_fraction), shortest(asked.val_fraction));
  if (recorded.shard_tokens != asked.shard_tokens) differs("--shard-tokens", recorded.shard_tokens, asked.shard_tokens);
  for (const auto& [name, is] : asked.options) {
    const auto was = std::find_if(recorded.options.begin(), recorded.options.end(),
                                  [&, &key = name](const auto& option) { return option.first == key; });
    const std::string value = was == recorded.options.end() ? kNotGiven : was->second;
    if (value != is) differs("--" + name, value, is);
  }
  for (size_t i = 0; i < std::min(recorded.inputs.size(), asked.inputs.size()); ++i) {
    const InputFile &was = recorded.inputs[i], &is = asked.inputs[i];
    const std::string before = name_of_input(was), now = name_of_input(is);
    if (before != now) differs(text("input file ", i + 1), before, now);
    if (was.mtime_ns != is.mtime_ns)
      differs(text("input file ", i + 1, " ", before, ", last changed"), utc(was.mtime_ns), utc(is.mtime_ns));
  }
  if (recorded.inputs.size() != asked.inputs.size())
    differs("the number of input files", recorded.inputs.size(), asked.inputs.size());
}

}  // namespace gptmoe
