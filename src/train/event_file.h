#pragma once
// Event files in the format that TensorBoard reads: RUN/events.out.tfevents.SECONDS.HOST.PROCESS. They hold TFRecords,
// each with
//   u64 length, u32 masked CRC-32C of the length, the bytes, u32 masked CRC-32C of the bytes (little-endian),
// and each record is an Event in the encoding of protocol buffers. Only these fields are written:
//   Event       1 wall_time (double), 2 step (int64), 3 file_version (string), 5 summary, 7 session_log
//   Summary     1 value (repeated): 1 tag (string), 2 simple_value (float)
//   SessionLog  1 status (1: START)
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/descriptor.h"

namespace gptmoe {

struct Scalar {
  std::string tag;
  double value;
};

// An event with scalars.
struct WrittenEvent {
  int64_t step = 0;
  double wall_time = 0;
};

// The events with scalars in the event files of a folder, in order, as readers see them: without those that a later
// START makes readers drop. nullopt if the folder holds no event file. In a damaged file, the events before the damage
// count. Throws UserError if a file cannot be read.
std::optional<std::vector<WrittenEvent>> written_events(const std::filesystem::path& folder);

class EventFile {
 public:
  // Makes a file in `folder` whose name sorts after those of all existing event files. With `from_step`, readers drop
  // the events of earlier files from this step on. Throws Failure if the file cannot be written.
  EventFile(const std::filesystem::path& folder, std::optional<int64_t> from_step);

  // Appends one event with these scalars as f32, leaving out scalars that are not finite as f32. `wall_time` is in
  // seconds since 1970. The event reaches the file before the call returns. Throws Failure if it cannot be written.
  void write(double wall_time, int64_t step, const std::vector<Scalar>& scalars);

 private:
  void append(double wall_time, int64_t step, const std::string& what);

  std::filesystem::path path_;
  Descriptor fd_;
};

}  // namespace gptmoe
