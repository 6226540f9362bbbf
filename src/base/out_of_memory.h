#pragma once
// An allocation that fails, in any thread and at any moment, ends the program with one line and exit code 1. main()
// catches std::bad_alloc where it can. It cannot catch an error that is thrown before main(), in another thread or in a
// noexcept function; there, our handler of std::terminate() prints the line and ends the program. A program that uses
// kNoMemory links in this handler.

namespace gptmoe {

// The message of the programs when operator new has failed.
extern const char* const kNoMemory;

}  // namespace gptmoe
