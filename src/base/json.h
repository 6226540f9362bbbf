#pragma once
// nlohmann/json. Include this header in place of nlohmann/json.hpp. Start a value with object() or array() before you
// add to it: if the library turns null into an object or array and an allocation then fails, it leaves a value whose
// destructor crashes. Sources that are compiled without optimisation do not compile the library's classes again, since
// json.cpp has them. In optimised sources the compiler may inline them.
#include <nlohmann/json.hpp>

#ifndef __OPTIMIZE__
extern template class nlohmann::basic_json<>;
extern template class nlohmann::basic_json<nlohmann::ordered_map>;
#endif
