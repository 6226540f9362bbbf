#pragma once
// Tells whether this build runs under sanitizers. They find bad addresses and undefined behaviour, and slow tests down
// three to ten times. So under sanitizers, tests skip long comparisons of numbers if other tests run the same code.
namespace gptmoe {

#ifdef GPTMOE_ASAN
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace gptmoe
