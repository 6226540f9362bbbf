#include "tokenizer/pretokenize.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>

#include "tokenizer/unicode_ranges.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

constexpr std::string_view kPatternNames[] = {"gpt2", "llama3", "cl100k", "qwen2"};

bool is_space(uint32_t point) {
  return (point >= 0x09 && point <= 0x0D) || point == 0x20 || point == 0x85 || point == 0xA0 || point == 0x1680 ||
         (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 || point == 0x202F ||
         point == 0x205F || point == 0x3000;
}

// The class of every code point.
const CharClass* class_table() {
  static const auto table = [] {
    auto classes = std::make_unique<CharClass[]>(kCodePoints);
    std::fill_n(classes.get(), kCodePoints, CharClass::other);
    for (const CodePointRange& range : kLetterRanges)
      std::fill(&classes[range.first], &classes[range.last] + 1, CharClass::letter);
    for (const CodePointRange& range : kNumberRanges)
      std::fill(&classes[range.first], &classes[range.last] + 1, CharClass::number);
    for (uint32_t point = 0; point <= 0x3000; ++point)
      if (is_space(point)) classes[point] = CharClass::space;
    return classes;
  }();
  return table.get();
}

struct Char {
  CharClass kind;
  size_t bytes;
};

// A text, and the building blocks of the patterns as functions on it. Positions are byte offsets.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text), classes_(class_table()) {}

  size_t size() const { return text_.size(); }
  unsigned char byte(size_t at) const { return static_cast<unsigned char>(text_[at]); }

  Char char_at(size_t at) const {
    if (byte(at) < 0x80) return {classes_[byte(at)], 1};
    const CodePoint point = read_code_point(text_, at);
    return {point.value == kMalformed ? CharClass::other : classes_[point.value], static_cast<size_t>(point.bytes)};
  }

  // The end of the run of `kind` that starts at `at`.
  size_t run_end(size_t at, CharClass kind) const {
    while (at < size()) {
      const Char next = char_at(at);
      if (next.kind != kind) break;
      at += next.bytes;
    }
    return at;
  }

  // run_end() for letters. It takes eight ASCII bytes at a time, since most text consists of ASCII letters.
  size_t letters_end(size_t at) const {
    while (at + 8 <= size()) {
      uint64_t bytes;
      std::memcpy(&bytes, text_.data() + at, sizeof bytes);
      const uint64_t not_letter = kHighBits & ~ascii_letters(bytes);
      if (not_letter != 0) {
        at += static_cast<size_t>(std::countr_zero(not_letter)) / 8;
        return byte(at) < 0x80 ? at : run_end(at, CharClass::letter);
      }
      at += 8;
    }
    return run_end(at, CharClass::letter);
  }

  // The end of a run of at most `most` numbers that starts at `at`.
  size_t numbers_end(size_t at, int most) const {
    for (; most > 0 && at < size(); --most) {
      const Char next = char_at(at);
      if (next.kind != CharClass::number) break;
      at += next.bytes;
    }
    return at;
  }

  size_t newlines_end(size_t at) const {
    while (at < size() && is_newline(byte(at))) ++at;
    return at;
  }

  // The end of the match of \s+(?!\S)|\s+ on the white space [begin, end). At the end of the text, the match is all of
  // the white space. Elsewhere, if there are several characters, the match leaves out the last one, which the next word
  // may take.
  size_t white_space_end(size_t begin, size_t end) const {
    if (end == size()) return end;
    size_t last = end - 1;
    while ((byte(last) & 0xC0) == 0x80) --last;  // white space is valid UTF-8
    return last == begin ? end : last;
  }

  // The length of a contraction ('s 't 're 've 'm 'll 'd) at `at`, where the text has an apostrophe; 0 if there is
  // none. If case is ignored, Unicode's long s counts as s.
  size_t contraction_length(size_t at, bool any_case) const {
    const auto letter = [&](size_t i) -> unsigned char {
      if (i >= size()) return 0;
      return any_case && byte(i) >= 'A' && byte(i) <= 'Z' ? byte(i) | 0x20 : byte(i);
    };
    const unsigned char first = letter(at + 1);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    const unsigned char second = letter(at + 2);
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l')) return 3;
    return any_case && text_.substr(at + 1).starts_with("\u017F") ? 3 : 0;
  }

  static bool is_newline(unsigned char byte) { return byte == '\n' || byte == '\r'; }

 private:
  static constexpr uint64_t kHighBits = 0x8080808080808080, kOnes = 0x0101010101010101;

  // The high bit of every byte that is an ASCII letter.
  static uint64_t ascii_letters(uint64_t bytes) {
    const uint64_t lower = (bytes | kOnes * 0x20) & ~kHighBits;
    const uint64_t from_a = lower + kOnes * (0x80 - 'a'), beyond_z = lower + kOnes * (0x7F - 'z');
    return from_a & ~beyond_z & ~bytes & kHighBits;
  }

  std::string_view text_;
  const CharClass* classes_;
};

size_t gpt2_word_end(const Scanner& text, size_t begin) {
  size_t at = begin;
  if (text.byte(begin) == ' ' && begin + 1 < text.size()) ++at;
  Char first = text.char_at(at);
  if (first.kind == CharClass::letter) return text.letters_end(at + first.bytes);
  if (first.kind == CharClass::space) {
    return text.white_space_end(begin, text.run_end(at, CharClass::space));
  }
  if (at == begin && text.byte(begin) == '\'')
    if (const size_t length = text.contraction_length(begin, false)) return begin + length;
  return text.run_end(at + first.bytes, first.kind);
}

// The word's end in llama3 and similar patterns. A word has at most `most_numbers` numbers; `whole_tail` adds cl100k's
// alternative \s++$.
size_t llama3_word_end(const Scanner& text, size_t begin, int most_numbers, bool whole_tail) {
  const Char first = text.char_at(begin);
  if (first.kind == CharClass::letter) return text.letters_end(begin + first.bytes);
  if (first.kind == CharClass::number) return text.numbers_end(begin, most_numbers);
  if (text.byte(begin) == '\'')
    if (const size_t length = text.contraction_length(begin, true)) return begin + length;

  const size_t after = begin + first.bytes;
  const Char second = after < text.size() ? text.char_at(after) : Char{CharClass::space, 0};
  if (second.kind == CharClass::letter && !Scanner::is_newline(text.byte(begin)))
    return text.letters_end(after + second.bytes);
  if (first.kind == CharClass::other || (text.byte(begin) == ' ' && second.kind == CharClass::other))
    return text.newlines_end(text.run_end(after, CharClass::other));

  const size_t end = text.run_end(after, CharClass::space);
  if (whole_tail && end == text.size()) return end;
  for (size_t at = end; at > begin; --at)
    if (Scanner::is_newline(text.byte(at - 1))) return at;
  return text.white_space_end(begin, end);
}

}  // namespace

std::string_view name_of(SplitPattern pattern) { return kPatternNames[static_cast<size_t>(pattern)]; }

std::optional<SplitPattern> split_pattern_of(std::string_view name) {
  const auto found = std::find(std::begin(kPatternNames), std::end(kPatternNames), name);
  if (found == std::end(kPatternNames)) return std::nullopt;
  return static_cast<SplitPattern>(found - std::begin(kPatternNames));
}

std::string_view split_pattern_names() { return "gpt2, llama3, cl100k or qwen2"; }

size_t word_end(SplitPattern pattern, std::string_view text, size_t begin) {
  const Scanner scanner(text);
  switch (pattern) {
    case SplitPattern::gpt2: return gpt2_word_end(scanner, begin);
    case SplitPattern::llama3: return llama3_word_end(scanner, begin, 3, false);
    case SplitPattern::cl100k: return llama3_word_end(scanner, begin, 3, true);
    case SplitPattern::qwen2: return llama3_word_end(scanner, begin, 1, false);
  }
  return text.size();
}

CharClass char_class(uint32_t code_point) {
  return code_point < kCodePoints ? class_table()[code_point] : CharClass::other;
}

}  // namespace gptmoe
