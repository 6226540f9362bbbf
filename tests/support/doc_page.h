#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "base/file.h"
#include "support/test_folders.h"

namespace gptmoe {

// Expects docs/NAME to hold `content`. With the environment variable GPTMOE_UPDATE_DOCS set, writes it instead.
inline void expect_doc_page(const std::string& name, const std::string& content) {
  const std::string path = source_folder() + "/docs/" + name;
  if (std::getenv("GPTMOE_UPDATE_DOCS")) return write_text_file(path, content);
  EXPECT_TRUE(read_text_file(path) == content)
      << "docs/" << name << " is out of date: run this test with GPTMOE_UPDATE_DOCS=1 in the environment, then commit";
}

// A row of a Markdown table. A cell must not contain `|`, which would end it.
inline std::string table_row(const std::vector<std::string>& cells) {
  std::string row = "|";
  for (const std::string& cell : cells) row += " " + cell + " |";
  return row + "\n";
}

}  // namespace gptmoe
