#pragma once
// Makes names from files and command lines safe to show on a terminal: a control character could move the cursor,
// change colours or hide what is wrong.
#include <exception>
#include <string>
#include <string_view>

namespace gptmoe {

// The text with each control character (U+0000 to U+001F, U+007F to U+009F) as an escape: "\n", or "\x1b".
std::string printable(std::string_view text);

// Like printable(), for a message that may end with a table: keeps line breaks before lines that are indented by two
// spaces.
std::string printable_message(std::string_view text);

// The message of an error, without the text that libraries add to it: "PATH: No such file or directory" for a
// filesystem_error, kNoMemory for bad_alloc.
std::string message_of(const std::exception& error);

}  // namespace gptmoe
