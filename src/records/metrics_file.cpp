#include "records/metrics_file.h"

#include "base/seal.h"
#include "records/record_json.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kRemedy = "repair or remove the line";

// The fields of all rows.
struct RowHead {
  std::string event;
  int64_t step = 0;
  std::optional<double> time;
};

template <typename Visitor, Is<RowHead> Row>
void visit_fields(Visitor& visitor, Row& row) {
  visitor.field("event", row.event, "");
  visitor.field("step", row.step, "");
  visitor.maybe("time", row.time, "");
}

}  // namespace

MetricsLine::MetricsLine(std::string_view line, std::string place) : line_(line), place_(std::move(place)) {
  with_remedy(kRemedy, [&] {
    require_seal(line_, place_);
    json_ = parse_json_line<Json>(line_.substr(0, line_.find('\n')), place_);
    RowHead head = read_record<RowHead>(json_, place_);
    event_ = std::move(head.event);
    step_ = head.step;
    time_ = head.time;
  });
}

MetricsRow MetricsLine::row() const {
  return with_remedy(kRemedy, [&]() -> MetricsRow {
    if (event_ == TrainRow::kEvent) return read_record<TrainRow>(json_, place_);
    if (event_ == EvalRow::kEvent) return read_record<EvalRow>(json_, place_);
    if (event_ == TasksRow::kEvent) return read_record<TasksRow>(json_, place_);
    if (event_ == DivergedRow::kEvent) return read_record<DivergedRow>(json_, place_);
    if (event_ == ThinnedRow::kEvent) return read_record<ThinnedRow>(json_, place_);
    user_error(place_, ": unknown event ", Json(event_).dump(-1, ' ', false, Json::error_handler_t::replace),
               "; known are \"train\", \"eval\", \"tasks\", \"diverged\" and \"thinned\"");
  });
}

}  // namespace gptmoe
