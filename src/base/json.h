#pragma once
// nlohmann/json, whose classes are compiled once: in json.cpp. Include this header in place of nlohmann/json.hpp.
#include <nlohmann/json.hpp>

extern template class nlohmann::basic_json<>;
extern template class nlohmann::basic_json<nlohmann::ordered_map>;
