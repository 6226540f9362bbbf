#pragma once
// nlohmann/json. Include this header in place of nlohmann/json.hpp. Start a value with object() or array() before you
// add to it: if the library turns null into one of them and an allocation fails, the value's destructor crashes.
// Sources that are compiled without optimisation do not compile its classes again: they are in json.cpp. In optimised
// sources the compiler may inline them.
#include <nlohmann/json.hpp>

#ifndef __OPTIMIZE__
extern template class nlohmann::basic_json<>;
extern template class nlohmann::basic_json<nlohmann::ordered_map>;
#endif
