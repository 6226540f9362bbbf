#pragma once
// A record is a struct that the program writes into a JSON file and reads back. It is described once, by a function
// visit_fields(visitor, record) that names each of its fields and says what it means. RecordWriter and RecordReader
// (record_json.h) are visitors; the test of docs/run_files.md is a third. A visitor has
//   field(key, value, sentence)      always present
//   maybe(key, value, sentence)      an optional, or a list; left out if it has no value or is empty
//   nullable(key, list, sentence)    null if the list is empty
//   derived(key, value, sentence)    written for people; ignored on reading, since it follows from other fields
//   group(key, present, sentence, visit)   an object whose fields visit(visitor) visits; null if not `present`
// `record` is const when it is written. Values are int64_t (never negative), double (null: not a finite number),
// std::string, JsonValue, other records, lists of values, and Named<T>, an object of values by name.
#include <concepts>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace gptmoe {

// T is Record, or const Record.
template <typename T, typename Record>
concept Is = std::same_as<std::remove_const_t<T>, Record>;

template <typename T>
using Named = std::vector<std::pair<std::string, T>>;

}  // namespace gptmoe
