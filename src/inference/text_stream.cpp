#include "inference/text_stream.h"

#include <algorithm>

#include "tokenizer/utf8.h"

namespace gptmoe {

bool TextStream::add(std::string_view bytes) {
  const size_t before = bytes_.size();
  bytes_ += bytes;
  size_t begin = std::string::npos, end = std::string::npos;  // of the stop string
  for (const std::string& stop : stops_) {
    const size_t at = bytes_.find(stop, before - std::min(before, stop.size() - 1));
    if (at == std::string::npos) continue;
    if (at + stop.size() < end || (at + stop.size() == end && at < begin)) begin = at, end = at + stop.size();
  }
  if (end == std::string::npos) return false;
  bytes_.resize(begin);
  return true;
}

std::string TextStream::take() { return take_up_to(first_held_back()); }

std::string TextStream::take_rest() { return take_up_to(bytes_.size()); }

size_t TextStream::first_held_back() const {
  const std::string_view left = std::string_view(bytes_).substr(taken_);
  size_t held = 0;
  for (const std::string& stop : stops_)
    for (size_t part = std::min(stop.size() - 1, left.size()); part > held; --part)
      if (left.ends_with(std::string_view(stop).substr(0, part))) held = part;
  return bytes_.size() - held - unfinished_bytes(left.substr(0, left.size() - held));
}

std::string TextStream::take_up_to(size_t end) {
  if (end <= taken_) return "";
  const std::string_view part = std::string_view(bytes_).substr(taken_, end - taken_);
  taken_ = end;
  return replace_malformed(part);
}

}  // namespace gptmoe
