#pragma once

namespace gptmoe {

// Opens /dev/null in place of every standard stream that is closed, so that no file takes its number. Reading that
// standard input, and writing the other two, still fails. To be called before any file is opened.
void occupy_standard_streams();

}  // namespace gptmoe
