// The event files of a run hold what its metrics hold.
#include "train/event_file.h"

#include <omp.h>

#include <cmath>
#include <cstring>
#include <map>

#include "base/checksum.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

uint32_t masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

// Reads a message in the encoding of protocol buffers, field by field.
class Message {
 public:
  explicit Message(std::string_view bytes) : rest_(bytes) {}

  // Whether there is another field; its number and content are then known.
  bool next() {
    if (rest_.empty()) return false;
    const uint64_t key = varint();
    number = key >> 3;
    const uint64_t size = (key & 7) == 0 ? 0 : (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : varint();
    if ((key & 7) == 0) value = varint();
    content = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  template <typename T>
  T as() const {
    T out;
    EXPECT_EQ(content.size(), sizeof out);
    std::memcpy(&out, content.data(), sizeof out);
    return out;
  }

  uint64_t number = 0, value = 0;
  std::string_view content;

 private:
  uint64_t varint() {
    uint64_t out = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      out |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return out;
    }
  }
  std::string_view rest_;
};

// The curves by tag, each a list of (step, value), as TensorBoard shows them; and the number of files.
struct Curves {
  std::map<std::string, std::vector<std::pair<int64_t, float>>> by_tag;
  std::map<int64_t, double> times;
  int files = 0;
};

void read_event(const std::string& event, Curves& curves) {
  double time = 0;
  int64_t step = 0;
  for (Message field(event); field.next();) {
    if (field.number == 1) time = field.as<double>();
    if (field.number == 2) step = static_cast<int64_t>(field.value);
    if (field.number == 3) {
      EXPECT_EQ(field.content, "brain.Event:2");
    }
    if (field.number == 7)
      for (auto& [tag, points] : curves.by_tag)
        std::erase_if(points, [step](const auto& point) { return point.first >= step; });
    if (field.number != 5) continue;
    curves.times[step] = time;
    for (Message summary(field.content); summary.next();) {
      std::string tag;
      float value = NAN;
      for (Message entry(summary.content); entry.next();) {
        if (entry.number == 1) tag = entry.content;
        if (entry.number == 2) value = entry.as<float>();
      }
      curves.by_tag[tag].emplace_back(step, value);
    }
  }
}

Curves read_events(const fs::path& run_dir) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(run_dir))
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  Curves curves;
  curves.files = static_cast<int>(files.size());
  for (const fs::path& file : files) {
    const std::string bytes = read_text_file(file);
    for (size_t at = 0; at < bytes.size();) {
      uint64_t length;
      uint32_t length_crc, crc;
      std::memcpy(&length, bytes.data() + at, 8);
      std::memcpy(&length_crc, bytes.data() + at + 8, 4);
      EXPECT_EQ(length_crc, masked(crc32c({bytes.data() + at, 8})));
      const std::string event = bytes.substr(at + 12, length);
      std::memcpy(&crc, bytes.data() + at + 12 + length, 4);
      EXPECT_EQ(crc, masked(crc32c(event)));
      read_event(event, curves);
      at += 16 + length;
    }
  }
  return curves;
}

class EventFiles : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }

  // The event files hold every row of metrics.jsonl once, and nothing else.
  static void expect_rows_of_metrics(const fs::path& run_dir, const Curves& curves) {
    std::map<std::string, std::vector<std::pair<int64_t, float>>> expected;
    std::ifstream in(run_dir / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      const json row = json::parse(line);
      const auto add = [&](const std::string& tag, const json& value) {
        expected[tag].emplace_back(row["step"].get<int64_t>(), value.get<float>());
      };
      const std::string event = row["event"];
      for (const auto& [key, value] : row.items()) {
        const std::string name = key.starts_with("val_") ? key.substr(4) : key;
        if (value.is_number() && name != "step" && name != "tokens" && name != "seconds" && name != "time")
          add(event + "/" + name, value);
        if (!value.is_array() || !value[0].is_number()) continue;
        const std::string list = name.substr(0, name.find("_by_layer"));
        for (size_t layer = 0; layer < value.size(); ++layer)
          add(event + "_layers/" + list + "/0" + std::to_string(layer), value[layer]);
      }
      if (event == "eval") {
        int dead = 0;
        for (const auto& layer : row["expert_load"])
          for (const double share : layer) dead += share * static_cast<double>(layer.size()) < 0.1;
        add("eval/dead_experts", dead);
      }
    }
    for (const auto& [tag, points] : expected) {
      SCOPED_TRACE(tag);
      ASSERT_TRUE(curves.by_tag.contains(tag));
      EXPECT_EQ(curves.by_tag.at(tag), points);
    }
    EXPECT_EQ(curves.by_tag.size(), expected.size());
    EXPECT_GT(expected.size(), 15u);
  }

  RunFolder folder_;
  Config config_ = folder_.config({{"router", {{"type", "default"}}}});
  const fs::path run_ = folder_ / "run";
};

TEST_F(EventFiles, HoldTheRowsOfMetrics) {
  train_quietly(config_, run_);
  const Curves curves = read_events(run_);
  EXPECT_EQ(curves.files, 1);
  expect_rows_of_metrics(run_, curves);
  EXPECT_EQ(curves.by_tag.at("train/loss").size(), 12u);
  EXPECT_EQ(curves.by_tag.at("eval/perplexity").size(), 3u);
  EXPECT_NEAR(curves.times.at(12), static_cast<double>(time(nullptr)), 100);
}

TEST_F(EventFiles, AfterAResumeHoldEveryStepOnce) {
  train_quietly(config_, run_);
  for (const int64_t step : {8, 4}) {
    SCOPED_TRACE(step);
    cut_back(run_, step);
    train_quietly(config_, run_, true);
    expect_rows_of_metrics(run_, read_events(run_));
  }
  EXPECT_EQ(read_events(run_).files, 3);
}

// As in a branch: its metrics begin with the metrics of another run.
TEST_F(EventFiles, OfARunWithoutAnyBeginWithItsFirstRow) {
  config_.log.tensorboard = false;
  train_quietly(config_, run_);
  EXPECT_EQ(read_events(run_).files, 0);
  cut_back(run_, 8);
  config_.log.tensorboard = true;
  train_quietly(config_, run_, true);
  const Curves curves = read_events(run_);
  EXPECT_EQ(curves.files, 1);
  expect_rows_of_metrics(run_, curves);
}

// The first files also hold steps that the run trained again while it wrote no event files.
TEST_F(EventFiles, HoldTheRowsOfAStretchWithoutThem) {
  train_quietly(config_, run_);
  cut_back(run_, 4);
  config_.log.tensorboard = false;
  train_quietly(config_, run_, true);
  cut_back(run_, 8);
  config_.log.tensorboard = true;
  train_quietly(config_, run_, true);
  const Curves curves = read_events(run_);
  EXPECT_EQ(curves.files, 2);
  expect_rows_of_metrics(run_, curves);
}

TEST_F(EventFiles, HoldTheRowsOfAFileThatWasCut) {
  train_quietly(config_, run_);
  const fs::path file = *std::find_if(fs::directory_iterator(run_), {}, [](const fs::directory_entry& entry) {
    return entry.path().filename().string().starts_with("events.");
  });
  fs::resize_file(file, fs::file_size(file) / 2);
  cut_back(run_, 8);
  train_quietly(config_, run_, true);
  std::vector<WrittenEvent> expected;
  std::ifstream in(run_ / "metrics.jsonl");
  for (std::string line; std::getline(in, line);)
    expected.push_back({json::parse(line)["step"].get<int64_t>(), json::parse(line)["time"].get<double>()});
  const auto seen = written_events(run_);
  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ((*seen)[i].step, expected[i].step);
    EXPECT_EQ((*seen)[i].wall_time, expected[i].wall_time);
  }
}

TEST_F(EventFiles, AreReadIfTheFolderCanBe) {
  EXPECT_FALSE(written_events(folder_ / "nowhere"));
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_THROW(written_events(folder_ / "loop"), UserError);
}

TEST_F(EventFiles, LeaveOutWhatIsNotFinite) {
  fs::create_directory(run_);
  EventFile(run_, std::nullopt).write(1.5, 300, {{"a", HUGE_VAL}, {"b", 1e300}, {"c", -2}});
  const Curves curves = read_events(run_);
  ASSERT_EQ(curves.by_tag.size(), 1u);
  EXPECT_EQ(curves.by_tag.at("c"), (std::vector<std::pair<int64_t, float>>{{300, -2.0f}}));
  EXPECT_EQ(curves.times.at(300), 1.5);
}

}  // namespace
}  // namespace gptmoe::testing
