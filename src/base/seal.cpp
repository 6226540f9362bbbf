#include "base/seal.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/checksum.h"

namespace gptmoe {
namespace {

constexpr size_t kDigits = 16;

// The text between the object's opening brace and its first key: empty, or a newline and spaces.
std::string_view gap_of(std::string_view object) {
  const size_t key = object.find_first_not_of(" \n", 1);
  return key == std::string_view::npos ? std::string_view() : object.substr(1, key - 1);
}

// The texts before and after the digits of a seal.
std::string head(std::string_view gap) { return text(",", gap, "\"checksum\":", gap.empty() ? "" : " ", "\""); }
std::string_view tail(std::string_view gap) { return gap.empty() ? "\"}\n" : "\"\n}\n"; }

std::string with_seal(std::string_view body, std::string_view gap) {
  return text(body, head(gap), checksum_text(checksum_of(body)), tail(gap));
}

// The smallest number of changes, additions and removals of bytes that turn `a` into `b`.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);  // edits from the bytes of `a` so far to each prefix of `b`
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t changed = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, diagonal + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string sealed(std::string_view object) {
  const std::string_view gap = gap_of(object), close = gap.empty() ? "}" : "\n}";
  GPTMOE_CHECK(object.starts_with("{") && object.ends_with(close) && object.size() > 2, object);
  return with_seal(object.substr(0, object.size() - close.size()), gap);
}

Seal seal_of(std::string_view content) {
  const std::string_view gap = gap_of(content);
  const std::string before = head(gap);
  const size_t bytes = before.size() + kDigits + tail(gap).size();
  if (content.size() <= bytes) return Seal::none;
  const size_t body = content.size() - bytes;
  if (with_seal(content.substr(0, body), gap) == content) return Seal::intact;
  // Damage to the seal itself changes, adds or loses a few bytes.
  constexpr size_t kDamage = 3;
  return edits(content.substr(body, before.size()), before) <= kDamage ? Seal::broken : Seal::none;
}

std::string_view seal_digits(std::string_view content) {
  const std::string_view gap = gap_of(content), after = tail(gap);
  const std::string before = head(gap);
  const size_t bytes = before.size() + kDigits + after.size();
  if (content.size() <= bytes || !content.ends_with(after)) return {};
  const size_t body = content.size() - bytes;
  return content.substr(body, before.size()) == before ? content.substr(body + before.size(), kDigits)
                                                       : std::string_view();
}

void require_seal(std::string_view content, const std::string& file) {
  if (seal_of(content) == Seal::broken)
    user_error(file, ": does not match its own checksum: it is damaged, cut short or edited");
}

}  // namespace gptmoe
