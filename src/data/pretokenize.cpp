#include "data/pretokenize.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>

#include "data/unicode_ranges.h"
#include "data/utf8.h"

namespace gptmoe {
namespace {

bool contains(std::span<const CodePointRange> ranges, uint32_t point) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), point,
                                      [](uint32_t value, const CodePointRange& range) { return value < range.first; });
  return after != ranges.begin() && point <= std::prev(after)->last;
}

bool is_space(uint32_t point) {
  return (point >= 0x09 && point <= 0x0D) || point == 0x20 || point == 0x85 || point == 0xA0 || point == 0x1680 ||
         (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 || point == 0x202F ||
         point == 0x205F || point == 0x3000;
}

CharClass look_up(uint32_t point) {
  if (is_space(point)) return CharClass::space;
  if (contains(kLetterRanges, point)) return CharClass::letter;
  return contains(kNumberRanges, point) ? CharClass::number : CharClass::other;
}

struct Char {
  CharClass kind;
  size_t bytes;
};

Char char_at(std::string_view text, size_t at) {
  const CodePoint point = read_code_point(text, at);
  return {char_class(point.value), static_cast<size_t>(point.bytes)};
}

// The end of the run of `kind` that starts at `at`.
size_t run_end(std::string_view text, size_t at, CharClass kind) {
  while (at < text.size()) {
    const Char next = char_at(text, at);
    if (next.kind != kind) break;
    at += next.bytes;
  }
  return at;
}

// Length of a contraction ('s 't 're 've 'm 'll 'd) at text[at], or 0.
size_t contraction_length(std::string_view text, size_t at) {
  if (text[at] != '\'') return 0;
  static constexpr std::string_view kEndings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
  for (std::string_view ending : kEndings)
    if (text.substr(at + 1, ending.size()) == ending) return 1 + ending.size();
  return 0;
}

}  // namespace

CharClass char_class(uint32_t code_point) {
  static const auto ascii = [] {
    std::array<CharClass, 128> table;
    for (uint32_t point = 0; point < table.size(); ++point) table[point] = look_up(point);
    return table;
  }();
  return code_point < ascii.size() ? ascii[code_point] : look_up(code_point);
}

size_t gpt2_word_end(std::string_view text, size_t begin) {
  if (const size_t length = contraction_length(text, begin)) return begin + length;
  const Char first = char_at(text, begin);
  if (first.kind != CharClass::space) return run_end(text, begin, first.kind);
  if (text[begin] == ' ' && begin + 1 < text.size()) {
    const Char second = char_at(text, begin + 1);
    if (second.kind != CharClass::space) return run_end(text, begin + 1, second.kind);
  }
  // White space: all of it at the end of the text; else all but its last character, which the next word may claim.
  size_t end = begin, last = begin;
  while (end < text.size()) {
    const Char next = char_at(text, end);
    if (next.kind != CharClass::space) break;
    last = end;
    end += next.bytes;
  }
  return end == text.size() || last == begin ? end : last;
}

}  // namespace gptmoe
