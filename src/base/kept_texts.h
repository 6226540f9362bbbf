#pragma once
// A file in the user's cache that maps keys to texts. Several processes share it. It is a sealed JSON object
// (base/seal.h):
//   {"SECTION": {"KEY": "TEXT", ...}, "checksum": "..."}
#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/lock.h"

namespace gptmoe {

// The file `name` in gptmoe's folder of the user's cache: $XDG_CACHE_HOME/gptmoe or, without it, $HOME/.cache/gptmoe.
// Empty if neither variable holds an absolute path.
std::filesystem::path user_cache_file(const std::string& name);

struct KeptFile {
  std::filesystem::path path;
  std::string section;                 // "choices"
  std::string holds;                   // in messages: "gptmoe's choices for cuBLASLt"
  std::string doing;                   // what the holder of the lock does: "is choosing cuBLASLt's algorithms"
  std::chrono::milliseconds patience;  // how long to wait for another process's lock
};

// Holds the file's lock while it exists.
class KeptTexts {
 public:
  // Makes the file's folder, locks the file and reads it. No file means no texts. Throws UserError if the file cannot
  // be locked or read.
  explicit KeptTexts(KeptFile file);

  // Says in one line why the file was treated as empty, namely that it is damaged or not ours; keep() then replaces it.
  // Empty if the file was read.
  const std::string& damage() const { return damage_; }
  // The text for the key, or none.
  std::optional<std::string> find(const std::string& key) const;
  // Adds or replaces the text for the key and writes the file. Throws Failure if it cannot be written.
  void keep(const std::string& key, const std::string& text);

 private:
  KeptFile file_;
  std::optional<OutputLock> lock_;
  std::map<std::string, std::string> texts_;
  std::string damage_;
};

}  // namespace gptmoe
