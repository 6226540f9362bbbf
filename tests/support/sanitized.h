#pragma once
// Whether sanitizers watch this build. They look for bad addresses and undefined behaviour, and make tests three to ten
// times slower. So tests that compare numbers skip here what runs no code that other tests do not run.
namespace gptmoe {

#ifdef GPTMOE_ASAN
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace gptmoe
