#pragma once
#include <span>
#include <string>

#include "config/json_section.h"

namespace gptmoe {

struct Synonyms {
  const char* path;    // our key; empty: there is none
  const char* remark;  // as in KeyHint; may be empty if there is a path
  const char* names;   // names that other programs give it, separated by spaces
};

std::span<const Synonyms> other_names();

// What a config's unknown key probably means, for JsonSection. `path` is the key with its sections, such as
// "optimizer.lr". The hint is our key that other programs call by this name, or our key of this name in another
// section. Case, "-" and "_" do not matter. If we have no such key, the remark says what to do instead.
KeyHint hint_for_key(const std::string& path);

}  // namespace gptmoe
