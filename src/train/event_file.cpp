#include "train/event_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/unix_time.h"

namespace gptmoe {
namespace {

constexpr const char* kPrefix = "events.out.tfevents.";

// The wire types of protocol buffers.
enum Wire : uint64_t { varint = 0, fixed64 = 1, delimited = 2, fixed32 = 5 };

template <typename T>
std::string bytes_of(T value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);  // the host is little-endian (base/checksum.cpp)
  return {bytes, sizeof bytes};
}

std::string varint_of(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}

std::string field(uint64_t number, Wire wire, const std::string& content) {
  const std::string key = varint_of(number << 3 | wire);
  return wire == delimited ? key + varint_of(content.size()) + content : key + content;
}

std::string masked_crc(const std::string& bytes) {
  const uint32_t crc = crc32c(bytes);
  return bytes_of((crc >> 15 | crc << 17) + 0xa282ead8u);
}

// The folder's event files, from the oldest to the newest.
std::vector<std::filesystem::path> event_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const std::filesystem::path& entry : folder_entries(folder))
    if (entry.filename().string().starts_with(kPrefix)) files.push_back(entry);
  std::sort(files.begin(), files.end());
  return files;
}

// The time in the name of the newest event file; -1 if there is none.
int64_t newest_event_file(const std::filesystem::path& folder) {
  int64_t newest = -1;
  for (const std::filesystem::path& file : event_files(folder))
    newest = std::max<int64_t>(newest, std::atoll(file.filename().c_str() + std::strlen(kPrefix)));
  return newest;
}

std::filesystem::path new_event_file(const std::filesystem::path& folder) {
  const int64_t seconds = std::max(static_cast<int64_t>(unix_time()), newest_event_file(folder) + 1);
  char host[65] = "localhost", time[24];
  if (gethostname(host, sizeof host - 1) != 0) std::strcpy(host, "localhost");
  std::snprintf(time, sizeof time, "%010lld", static_cast<long long>(seconds));
  return folder / text(kPrefix, time, ".", host, ".", getpid());
}

// Reads the fields of a message until its bytes end.
class MessageReader {
 public:
  explicit MessageReader(std::string_view bytes) : rest_(bytes) {}

  // Reads the number of the next field and, if it is an integer or a double, its value. Returns false at the end.
  bool next() {
    const uint64_t key = varint();
    number = key >> 3;
    wire = static_cast<Wire>(key & 7);
    if (rest_.empty()) return false;
    if (wire == Wire::varint) integer = varint();
    if (wire != fixed64) return true;
    if (rest_.size() < sizeof real) return false;
    std::memcpy(&real, rest_.data(), sizeof real);
    rest_.remove_prefix(sizeof real);
    return true;
  }

  uint64_t number = 0, integer = 0;
  double real = 0;
  Wire wire = delimited;

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; !rest_.empty() && shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) break;
    }
    return value;
  }

  std::string_view rest_;
};

// Updates `seen`, the events that a reader sees, with the next event. `bytes` are the event's first bytes.
void see(std::string_view bytes, std::vector<WrittenEvent>& seen) {
  WrittenEvent event;
  for (MessageReader field(bytes); field.next();) {
    if (field.number == 1) event.wall_time = field.real;
    if (field.number == 2) event.step = static_cast<int64_t>(field.integer);
    if (field.wire != delimited) continue;
    if (field.number == 5) seen.push_back(event);
    if (field.number == 7) std::erase_if(seen, [&](const WrittenEvent& past) { return past.step >= event.step; });
    return;
  }
}

// Reads short pieces of a file, in order, with few system calls.
class PieceReader {
 public:
  explicit PieceReader(const std::filesystem::path& path) : file_(path) {}

  int64_t size() const { return file_.size(); }
  // Returns the bytes from `position` on: at most kPartBytes, and within size(). The result is valid until the next
  // call.
  std::string_view piece(int64_t position, size_t bytes) {
    if (position < first_ || position + static_cast<int64_t>(bytes) > first_ + std::ssize(part_)) {
      first_ = position;
      part_.resize(static_cast<size_t>(std::min<int64_t>(kPartBytes, size() - position)));
      file_.read(part_.data(), std::ssize(part_), position);
    }
    return std::string_view(part_).substr(static_cast<size_t>(position - first_), bytes);
  }

 private:
  static constexpr int64_t kPartBytes = 1 << 20;
  const FileReader file_;
  std::string part_;
  int64_t first_ = 0;
};

void see_file(const std::filesystem::path& path, std::vector<WrittenEvent>& seen) {
  constexpr int64_t kHead = sizeof(uint64_t) + sizeof(uint32_t), kTail = sizeof(uint32_t), kStart = 32;
  PieceReader file(path);
  for (int64_t at = 0; at + kHead + kTail <= file.size();) {
    uint64_t length = 0;
    std::memcpy(&length, file.piece(at, sizeof length).data(), sizeof length);
    if (length > static_cast<uint64_t>(file.size() - at - kHead - kTail)) return;
    see(file.piece(at + kHead, std::min<uint64_t>(length, kStart)), seen);  // the scalars come later
    at += kHead + static_cast<int64_t>(length) + kTail;
  }
}

}  // namespace

std::optional<std::vector<WrittenEvent>> written_events(const std::filesystem::path& folder) {
  const std::vector<std::filesystem::path> files = event_files(folder);
  if (files.empty()) return std::nullopt;
  std::vector<WrittenEvent> seen;
  for (const std::filesystem::path& file : files) see_file(file, seen);
  return seen;
}

EventFile::EventFile(const std::filesystem::path& folder, std::optional<int64_t> from_step)
    : path_(new_event_file(folder)),
      fd_(open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644)) {
  if (!fd_) throw Failure(text(path_.string(), ": cannot create: ", std::strerror(errno)));
  append(unix_time(), 0, field(3, delimited, "brain.Event:2"));
  if (from_step) append(unix_time(), *from_step, field(7, delimited, field(1, varint, varint_of(1))));
}

void EventFile::write(double wall_time, int64_t step, const std::vector<Scalar>& scalars) {
  std::string values;
  for (const Scalar& scalar : scalars) {
    const auto value = static_cast<float>(scalar.value);
    if (!std::isfinite(value)) continue;
    values += field(1, delimited, field(1, delimited, scalar.tag) + field(2, fixed32, bytes_of(value)));
  }
  if (!values.empty()) append(wall_time, step, field(5, delimited, values));
}

void EventFile::append(double wall_time, int64_t step, const std::string& what) {
  const std::string event =
      field(1, fixed64, bytes_of(wall_time)) + field(2, varint, varint_of(static_cast<uint64_t>(step))) + what;
  const std::string length = bytes_of(static_cast<uint64_t>(event.size()));
  append_fully(fd_.get(), length + masked_crc(length) + event + masked_crc(event), path_);
}

}  // namespace gptmoe
