#pragma once

namespace gptmoe {

// Lets the calling thread run on all of OpenMP's places. If OMP_PROC_BIND is set, libgomp binds the main thread to the
// first place when it is loaded. Every program that this one starts, the restart below included, and every std::thread
// would then run on that place only. OpenMP's other threads stay bound. Call it first in main().
void unbind_main_thread();

// Makes idle OpenMP threads sleep after a short spin instead of spinning for milliseconds. On a machine with other
// load, a spinning thread takes the core from the thread for which it waits, and a step can take ten times as long
// (BENCHMARKS.md). libgomp reads its spin count from the environment when it is loaded, so this function sets the count
// there and restarts the program. Does nothing if the user chose a wait policy or a spin count. Call it early
// in main(), after unbind_main_thread().
void limit_openmp_spinning(char** argv);

// Makes OpenMP use usable_cores() threads (base/cores.h) unless OMP_NUM_THREADS is set: OpenMP itself ignores the limit
// on a container's CPU time, and additional threads would only wait for each other.
void limit_openmp_threads();

}  // namespace gptmoe
