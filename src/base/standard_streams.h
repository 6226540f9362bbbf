#pragma once

namespace gptmoe {

// Opens /dev/null in place of every standard stream that is closed, so that no file that is opened later gets the
// stream's number. Reading from a replaced standard input fails, and so does writing to a replaced output. Call it
// before any file is opened.
void occupy_standard_streams();

// Lets a write to a pipe fail with an error when the pipe's reader has gone. Otherwise SIGPIPE would end the program in
// the middle of its work. Programs that this one starts inherit the setting.
void ignore_closed_pipes();

}  // namespace gptmoe
