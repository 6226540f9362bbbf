#pragma once
// Tells whether this build runs under sanitizers. They find bad addresses and undefined behaviour, and slow tests down
// three to ten times. So under sanitizers, tests skip comparisons of numbers that only repeat code which other tests
// run.
namespace gptmoe {

#ifdef GPTMOE_ASAN
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace gptmoe
