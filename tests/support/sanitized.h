#pragma once
// Whether this build runs under sanitizers. They find bad addresses and undefined behaviour, and make tests three to
// ten times slower. So under sanitizers, a test skips long comparisons of numbers if other tests run the same code.
namespace gptmoe {

#ifdef GPTMOE_ASAN
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace gptmoe
