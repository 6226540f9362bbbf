#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "tokenizer/text_cuts.h"

namespace gptmoe {
namespace {

// Whether a text may be cut at `at`. The byte before `at` must be an ASCII letter or digit, or belong to a
// character of several bytes, since that might be a letter or a number. begins_cut() (text_cuts.h) must hold for the
// text from `at` on.
bool is_cut(std::string_view text, size_t at) {
  const char before = text[at - 1];
  const bool word = (before >= '0' && before <= '9') || (before >= 'A' && before <= 'Z') ||
                    (before >= 'a' && before <= 'z') || (before & 0x80) != 0;
  return word && begins_cut(text.substr(at));
}

}  // namespace

void AddedTokens::add(std::string text, int32_t id) {
  empty_ = false;
  for (size_t at = 1; at < text.size(); ++at) spans_cuts_ |= is_cut(text, at);
  auto& group = by_first_byte_[static_cast<unsigned char>(text.at(0))];
  const auto shorter =
      std::find_if(group.begin(), group.end(), [&](const auto& other) { return other.first.size() < text.size(); });
  group.emplace(shorter, std::move(text), id);
}

AddedTokens::Match AddedTokens::find(std::string_view text, size_t from) const {
  for (size_t at = from; at < text.size(); ++at)
    for (const auto& [token, id] : by_first_byte_[static_cast<unsigned char>(text[at])])
      if (text.substr(at).starts_with(token)) return {at, token.size(), id};
  return {text.size(), 0, -1};
}

}  // namespace gptmoe
