#pragma once
// The integer types that files of token ids use.
#include <array>
#include <string_view>

namespace gptmoe {

struct IdType {
  std::string_view name;
  int bytes;
  bool has_sign;
  bool operator==(const IdType&) const = default;
};

inline constexpr std::array<IdType, 8> kIdTypes = {{{"uint8", 1, false},
                                                    {"int8", 1, true},
                                                    {"uint16", 2, false},
                                                    {"int16", 2, true},
                                                    {"uint32", 4, false},
                                                    {"int32", 4, true},
                                                    {"uint64", 8, false},
                                                    {"int64", 8, true}}};

// The type with this name; null if there is none.
constexpr const IdType* id_type_named(std::string_view name) {
  for (const IdType& type : kIdTypes)
    if (type.name == name) return &type;
  return nullptr;
}

}  // namespace gptmoe
