// Generates docs/run_files.md from the records of a run's files.
#include <gtest/gtest.h>

#include <type_traits>

#include "checkpoint/checkpoint_state.h"
#include "records/analysis_log.h"
#include "records/metrics_rows.h"
#include "records/run_history.h"
#include "support/doc_page.h"

namespace gptmoe {
namespace {

constexpr const char* kHead =
    "# The files of a run\n\n"
    "The fields of the JSON files in a run directory, in the order in which they are written. Numbers that are not\n"
    "finite are `null`. Lists by layer have one value per MoE layer. [config.md](config.md) lists the keys of\n"
    "`config.json`.\n\n"
    "This page is generated: `GPTMOE_UPDATE_DOCS=1 build/test_train --gtest_filter='RunFilesPage.*'`\n";
constexpr const char* kMetrics =
    "\n## metrics.jsonl\n\n"
    "One JSON object per line; `event` names its kind. Steps and tokens increase. A resumed run cuts the file back to "
    "its\n"
    "checkpoint first. Each row ends in two fields of text. `previous` is the `checksum` of the row before, and is "
    "empty\n"
    "in the first row. `checksum` is 16 hexadecimal digits, the checksum of the line's text before it. Rows of older\n"
    "versions lack `previous`, or both fields; rows appended later have both. A file that begins with \"thinned\" has "
    "had\n"
    "rows removed on purpose, so the chain of its rows is not checked.\n";
constexpr const char* kHistory =
    "\n## history.json\n\n"
    "What the run read, and the changes that were made to its config. `checksum` comes last: the checksum of the text\n"
    "before it. The same holds for `provenance.json`, `jobs.json` and `analysis.json`. Files that older versions "
    "wrote\n"
    "have none.\n";
constexpr const char* kState =
    "\n## checkpoints/step_NNNNNNNN/state.json\n\n"
    "Keys are in alphabetical order. `checksum` comes last: the checksum of the text before it.\n";
constexpr const char* kAnalysis =
    "\n## analysis.json\n\n"
    "Written by `gptmoe analyze`; [analysis.md](analysis.md) defines the quantities.\n";

// Lists the fields of a record in a table. Fields of a nested object appear as object.field, those of a list of objects
// as list[].field.
class TableWriter {
 public:
  explicit TableWriter(std::string prefix = "") : prefix_(std::move(prefix)) {}

  std::string table() const { return "\n" + table_row({"field", "type", "meaning"}) + "|---|---|---|\n" + rows_; }

  template <typename T>
  void field(const char* key, const T& value, const char* sentence) {
    add(key, type_of(value), sentence);
    list_fields_of(key, value);
  }
  template <typename T>
  void maybe(const char* key, const std::optional<T>&, const char* sentence) {
    add(key, type_of(T()) + ", may be absent", sentence);
    list_fields_of(key, T());
  }
  template <typename T>
  void maybe(const char* key, const std::vector<T>& list, const char* sentence) {
    add(key, type_of(list) + ", may be absent", sentence);
  }
  template <typename T>
  void nullable(const char* key, const std::vector<T>& list, const char* sentence) {
    add(key, type_of(list) + " or null", sentence);
  }
  template <typename T>
  void derived(const char* key, const T& value, const char* sentence) {
    add(key, type_of(value), sentence);
  }
  template <typename Visit>
  void group(const char* key, bool present, const char* sentence, Visit visit) {
    add(key, present ? "object" : "object or null", sentence);
    TableWriter inner(prefix_ + key + ".");
    visit(inner);
    rows_ += inner.rows_;
  }

 private:
  static std::string type_of(int64_t) { return "whole number"; }
  static std::string type_of(double) { return "number"; }
  static std::string type_of(const std::string&) { return "string"; }
  template <typename T>
  static std::string type_of(const T&) {
    return "object";
  }
  template <typename T>
  static std::string type_of(const std::vector<T>&) {
    const std::string item = type_of(T());
    return item.starts_with("list") ? "list of lists" + item.substr(4) : "list of " + item + "s";
  }
  template <typename T>
  static std::string type_of(const Named<T>&) {
    return "object of " + type_of(T()) + "s by name";
  }

  template <typename T>
  void list_fields_of(const std::string& key, const T& value) {
    if constexpr (requires(TableWriter & writer) { visit_fields(writer, value); }) {
      TableWriter inner(prefix_ + key + ".");
      visit_fields(inner, value);
      rows_ += inner.rows_;
    }
  }
  template <typename T>
  void list_fields_of(const std::string& key, const std::vector<T>&) {
    list_fields_of(key + "[]", T());
  }
  template <typename T>
  void list_fields_of(const std::string& key, const Named<T>&) {
    list_fields_of(key + ".NAME", T());
  }

  void add(const std::string& key, const std::string& type, const std::string& sentence) {
    rows_ += table_row({"`" + prefix_ + key + "`", type, sentence});
  }

  std::string prefix_, rows_;
};

template <typename Record>
std::string table_of() {
  TableWriter writer;
  const Record record{};
  visit_fields(writer, record);
  return writer.table();
}

template <typename Row>
std::string event_part(const std::string& about) {
  return "\n### \"event\": \"" + std::string(Row::kEvent) + "\"\n\n" + about + "\n" + table_of<Row>();
}

TEST(RunFilesPage, ListsEveryField) {
  const std::string metrics = event_part<TrainRow>("Every `log.every` steps.") +
                              event_part<EvalRow>("Every validation.") +
                              event_part<TasksRow>("Every scoring of train.tasks.") +
                              event_part<DivergedRow>("The last row of a run that ended without finite numbers.") +
                              event_part<ThinnedRow>("The first row of a copy that tools/thin_runs.sh made.");
  expect_doc_page("run_files.md", kHead + (kMetrics + metrics) + kHistory + table_of<RunHistory>() + kState +
                                      table_of<StateFile>() + kAnalysis + table_of<AnalysisLog>());
}

}  // namespace
}  // namespace gptmoe
