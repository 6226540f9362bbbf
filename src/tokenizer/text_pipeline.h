#pragma once
// How a tokenizer.json prepares text for byte-level BPE: its normalizer and its pre-tokenizer.
#include <string_view>

#include "tokenizer/json_source.h"
#include "tokenizer/pretokenize.h"

namespace gptmoe {

struct TextPipeline {
  SplitPattern pattern;
  bool nfc;
};

// Throws UserError, naming the part, if a part would change ids and TextPipeline does not support it: normalizers
// other than NFC, pre-tokenizers other than ByteLevel and Split with a known regular expression, truncation, padding,
// decoders. Post-processors that only put special tokens around the text are accepted: encoding here never adds them.
TextPipeline read_text_pipeline(const JsonSource& source);

// The regular expression that makes the tokenizers library split as `pattern` does.
std::string_view regex_of(SplitPattern pattern);

}  // namespace gptmoe
