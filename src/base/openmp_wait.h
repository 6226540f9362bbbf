#pragma once

namespace gptmoe {

// Has idle OpenMP threads sleep after a short spin instead of spinning for milliseconds: on a machine that does
// anything else, a spinning thread takes the core from the one it waits for, and a step can take ten times as long
// (BENCHMARKS.md). libgomp reads its spin count from the environment when it is loaded, so this sets it and starts the
// program again; it does nothing if the user chose a wait policy or a spin count. First thing in main().
void limit_openmp_spinning(char** argv);

}  // namespace gptmoe
