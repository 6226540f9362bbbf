#include "tokenizer/nfc.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <vector>

#include "tokenizer/nfc_tables.h"
#include "tokenizer/utf8.h"

namespace gptmoe {
namespace {

constexpr uint32_t kPage = 256;
constexpr unsigned char kFirstLead = 0xCC;  // first byte of U+0300; text whose characters are all below it is in NFC

// Hangul syllables compose by arithmetic (The Unicode Standard, section 3.12) from a leading consonant L, a vowel V
// and, optionally, a trailing consonant T.
constexpr uint32_t kSyllable = 0xAC00, kL = 0x1100, kV = 0x1161, kT = 0x11A7;  // U+11A7 itself means "no T"
constexpr uint32_t kLCount = 19, kVCount = 21, kTCount = 28, kSyllables = kLCount * kVCount * kTCount;

bool is_syllable(uint32_t point) { return point - kSyllable < kSyllables; }

// Properties of a code point that NFC needs.
struct Traits {
  uint8_t combining_class = 0;
  bool may_change = false;  // NFC_Quick_Check is not Yes: NFC may replace the character or join it to another
  bool starts_afresh() const { return combining_class == 0 && !may_change; }
};

// The lists of nfc_tables.h in a form that is fast to look up.
class Tables {
 public:
  Tables() {
    pages_.emplace_back();  // page 0 of the pool: no properties
    for (const CombiningClassRange& range : kCombiningClasses)
      for (uint32_t point = range.first; point <= range.last; ++point)
        entry(point).combining_class = range.combining_class;
    for (const CanonicalPair& pair : kCanonicalPairs) {
      if (pair.second != 0 &&
          !std::binary_search(std::begin(kNeverComposed), std::end(kNeverComposed), pair.composed)) {
        compositions_.push_back(pair);
        entry(pair.second).may_change = true;
      } else {
        entry(pair.composed).may_change = true;
      }
    }
    for (uint32_t i = 0; i < kVCount; ++i) entry(kV + i).may_change = true;
    for (uint32_t i = 1; i < kTCount; ++i) entry(kT + i).may_change = true;
    for (const CanonicalPair& pair : compositions_)  // a pair may decompose again if its first part may
      if (traits(first_part(pair)).may_change) entry(pair.composed).may_change = true;
    std::sort(compositions_.begin(), compositions_.end(), by_parts);
  }

  // kMalformed has no properties, so composition starts again after it.
  Traits traits(uint32_t point) const {
    return point < kCodePoints ? pages_[page_of_[point / kPage]][point % kPage] : Traits{};
  }

  const CanonicalPair* decomposition(uint32_t point) const {
    const auto found =
        std::lower_bound(std::begin(kCanonicalPairs), std::end(kCanonicalPairs), point,
                         [](const CanonicalPair& pair, uint32_t value) { return pair.composed < value; });
    return found != std::end(kCanonicalPairs) && found->composed == point ? found : nullptr;
  }

  // The primary composite of two characters, or 0.
  uint32_t composition(uint32_t first, uint32_t second) const {
    if (first - kL < kLCount && second - kV < kVCount)
      return kSyllable + ((first - kL) * kVCount + (second - kV)) * kTCount;
    if (is_syllable(first) && (first - kSyllable) % kTCount == 0 && second > kT && second - kT < kTCount)
      return first + (second - kT);
    const CanonicalPair parts{0, first, second};
    const auto found = std::lower_bound(compositions_.begin(), compositions_.end(), parts, by_parts);
    return found != compositions_.end() && found->first == first && found->second == second ? found->composed : 0;
  }

 private:
  static bool by_parts(const CanonicalPair& a, const CanonicalPair& b) {
    return a.first != b.first ? a.first < b.first : a.second < b.second;
  }

  uint32_t first_part(const CanonicalPair& pair) const {
    const CanonicalPair* inner = decomposition(pair.first);
    return inner ? first_part(*inner) : pair.first;
  }

  Traits& entry(uint32_t point) {
    uint8_t& page = page_of_[point / kPage];
    if (page == 0) {
      page = static_cast<uint8_t>(pages_.size());
      pages_.emplace_back();
    }
    return pages_[page][point % kPage];
  }

  std::array<uint8_t, kCodePoints / kPage> page_of_{};
  std::vector<std::array<Traits, kPage>> pages_;
  std::vector<CanonicalPair> compositions_;
};

const Tables& tables() {
  static const Tables engine;
  return engine;
}

// The first byte at or after `at` that is kFirstLead or more.
size_t skip_low(std::string_view text, size_t at) {
  constexpr size_t kBlock = 32;  // a length the compiler turns into vector instructions
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  for (; at + kBlock <= text.size(); at += kBlock) {
    bool high = false;
    for (size_t i = 0; i < kBlock; ++i) high |= bytes[at + i] >= kFirstLead;
    if (high) break;
  }
  while (at < text.size() && bytes[at] < kFirstLead) ++at;
  return at;
}

struct Character {
  uint32_t point;
  uint8_t combining_class;
};

void decompose(uint32_t point, std::vector<Character>& out) {
  if (is_syllable(point)) {
    const uint32_t index = point - kSyllable;
    out.push_back({kL + index / (kVCount * kTCount), 0});
    out.push_back({kV + index / kTCount % kVCount, 0});
    if (index % kTCount != 0) out.push_back({kT + index % kTCount, 0});
  } else if (const CanonicalPair* pair = tables().decomposition(point)) {
    decompose(pair->first, out);
    if (pair->second != 0) decompose(pair->second, out);
  } else {
    out.push_back({point, tables().traits(point).combining_class});
  }
}

// Sorts consecutive combining characters by class, stably.
void put_in_order(std::vector<Character>& characters) {
  const auto is_starter = [](const Character& c) { return c.combining_class == 0; };
  for (auto at = characters.begin(); at != characters.end();) {
    const auto begin = std::find_if_not(at, characters.end(), is_starter);
    at = std::find_if(begin, characters.end(), is_starter);
    std::stable_sort(begin, at,
                     [](const Character& a, const Character& b) { return a.combining_class < b.combining_class; });
  }
}

// Every character joins the last starter before it if a composite exists and no character in between blocks it. A
// character blocks the characters after it whose class is not above its own.
void compose(std::vector<Character>& characters) {
  constexpr size_t kNone = SIZE_MAX;
  size_t starter = kNone, end = 0;
  for (const Character next : characters) {
    if (starter != kNone) {
      const bool adjacent = end == starter + 1;
      if (adjacent || characters[end - 1].combining_class < next.combining_class) {
        if (const uint32_t joined = tables().composition(characters[starter].point, next.point)) {
          characters[starter].point = joined;
          continue;
        }
      }
    }
    if (next.combining_class == 0) starter = end;
    characters[end++] = next;
  }
  characters.resize(end);
}

// Appends the NFC of a stretch of valid UTF-8 to `out`.
void append_nfc(std::string& out, std::string_view text, std::vector<Character>& scratch) {
  scratch.clear();
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = read_code_point(text, at);
    decompose(point.value, scratch);
    at += static_cast<size_t>(point.bytes);
  }
  put_in_order(scratch);
  compose(scratch);
  for (const Character& character : scratch) append_utf8(out, character.point);
}

}  // namespace

// The quick check of UAX #15, section 9.
bool is_surely_nfc(std::string_view text) {
  uint8_t last_class = 0;
  for (size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < kFirstLead) {
      at = skip_low(text, at);
      last_class = 0;
      continue;
    }
    const CodePoint point = read_code_point(text, at);
    const Traits traits = tables().traits(point.value);
    if (traits.may_change || (traits.combining_class != 0 && traits.combining_class < last_class)) return false;
    last_class = traits.combining_class;
    at += static_cast<size_t>(point.bytes);
  }
  return true;
}

// The text splits into independent stretches: no character of one stretch can join or pass a character of another
// stretch.
std::string to_nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  std::vector<Character> scratch;
  size_t stretch = 0;    // start of the current stretch
  bool changes = false;  // whether the stretch has more than its first character
  size_t copied = 0;     // text before it is in `out`
  const auto end_stretch = [&](size_t at) {
    if (changes) {
      out += text.substr(copied, stretch - copied);
      append_nfc(out, text.substr(stretch, at - stretch), scratch);
      copied = at;
    }
    stretch = at;
    changes = false;
  };
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < kFirstLead) {
      end_stretch(at);
      const size_t end = skip_low(text, at);
      // The last of these characters may join with what follows.
      size_t last = end - 1;
      while (last > at && (static_cast<unsigned char>(text[last]) & 0xC0) == 0x80) --last;
      const CodePoint point = read_code_point(text, last);
      stretch = last + static_cast<size_t>(point.bytes) == end && point.value != kMalformed ? last : end;
      at = end;
      continue;
    }
    const CodePoint point = read_code_point(text, at);
    if (point.value == kMalformed || tables().traits(point.value).starts_afresh()) {
      end_stretch(at);
      if (point.value == kMalformed) stretch = at + 1;
    } else {
      changes = true;
    }
    at += static_cast<size_t>(point.bytes);
  }
  end_stretch(text.size());
  return out + std::string(text.substr(copied));
}

}  // namespace gptmoe
