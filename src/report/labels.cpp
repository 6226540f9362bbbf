#include "report/labels.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <set>

#include "base/check.h"
#include "base/columns.h"
#include "base/joined.h"
#include "report/sweep.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestLabel = 60;

using Parts = std::vector<std::string>;  // folder names: those of one path, or one for each path

Parts parts_of(const std::string& path) {
  Parts parts;
  for (const fs::path& part : fs::path(path).lexically_normal())
    if (!part.empty() && part != "/" && part != ".") parts.push_back(part.string());
  if (parts.empty()) parts.push_back(path);
  return parts;
}

bool all_equal(const std::vector<Parts>& paths, size_t (*at)(const Parts&, size_t), size_t index) {
  return std::all_of(paths.begin(), paths.end(), [&](const Parts& parts) {
    return index < parts.size() && parts[at(parts, index)] == paths[0][at(paths[0], index)];
  });
}

size_t from_front(const Parts&, size_t index) { return index; }
size_t from_back(const Parts& parts, size_t index) { return parts.size() - 1 - index; }

bool starts_with_digit(const std::string& text) { return !text.empty() && text[0] >= '0' && text[0] <= '9'; }

// The length of the beginning that all names share. It ends with one of `separators` and leaves something of each name.
// Unless numbers may remain, it must not leave a number: "width_64" and "width_128" share nothing.
size_t shared_beginning(const Parts& names, const std::string& separators, bool numbers_may_remain) {
  size_t cut = 0;
  for (size_t i = 0; i < names[0].size(); ++i) {
    const auto shares = [&](const std::string& name) { return i + 1 < name.size() && name[i] == names[0][i]; };
    if (!std::all_of(names.begin(), names.end(), shares)) break;
    const auto number = [&](const std::string& name) { return starts_with_digit(name.substr(i + 1)); };
    if (separators.find(names[0][i]) != std::string::npos &&
        (numbers_may_remain || std::none_of(names.begin(), names.end(), number)))
      cut = i + 1;
  }
  return cut;
}

Parts reversed(Parts names) {
  for (std::string& name : names) std::reverse(name.begin(), name.end());
  return names;
}

Parts without_beginning(Parts names, const std::string& separators, bool numbers_may_remain) {
  const size_t cut = shared_beginning(names, separators, numbers_may_remain);
  for (std::string& name : names) name.erase(0, cut);
  return names;
}

// Removes the beginning and the end that all names of one level share. If the names are settings (`settings`), removes
// only a shared "KEY=", and keeps even that if nothing else remains of the paths (`alone`).
Parts stripped(Parts names, bool settings, bool alone) {
  if (settings && alone) return names;
  if (settings) {
    const Parts values = without_beginning(names, "=", true);
    const auto names_one = [](const std::string& value) { return value.find('=') != std::string::npos; };
    return std::any_of(values.begin(), values.end(), names_one) ? names : values;
  }
  names = without_beginning(std::move(names), "_-", false);
  return reversed(without_beginning(reversed(std::move(names)), "_-", true));
}

// Shortens the folder names at each level and leaves out levels that all paths share. If the paths differ in their
// number of levels, keeps them whole.
Parts names_of(const std::vector<Parts>& paths) {
  Parts out(paths.size());
  const size_t levels = paths[0].size();
  const bool aligned =
      std::all_of(paths.begin(), paths.end(), [&](const Parts& parts) { return parts.size() == levels; });
  if (!aligned) {
    for (size_t i = 0; i < paths.size(); ++i)
      for (const std::string& part : paths[i]) out[i] += (out[i].empty() ? "" : "/") + part;
    return out;
  }
  std::vector<Parts> columns;
  for (size_t level = 0; level < levels; ++level) {
    Parts column;
    for (const Parts& parts : paths) column.push_back(parts[level]);
    const bool shared =
        paths.size() > 1 && std::adjacent_find(column.begin(), column.end(), std::not_equal_to<>()) == column.end();
    if (!shared || (columns.empty() && level + 1 == levels)) columns.push_back(std::move(column));
  }
  for (Parts& column : columns) {
    const bool settings = column[0].find('=') != std::string::npos;
    if (paths.size() > 1) column = stripped(std::move(column), settings, columns.size() == 1);
    for (size_t i = 0; i < out.size(); ++i) out[i] += (out[i].empty() ? "" : settings ? " " : "/") + column[i];
  }
  return out;
}

// The folder of an arm, which holds its seeds, or of a family, which holds its settings.
std::string folder_of(const Arm& arm, bool family) {
  fs::path folder = arm.runs.front().dir.lexically_normal();
  if (folder.has_parent_path() && folder.filename().string().starts_with("seed_")) folder = folder.parent_path();
  if (family && !arm.settings.empty() && folder.has_parent_path()) folder = folder.parent_path();
  return folder.string();
}

// Whether the label has a byte below a space, DEL, or one of U+0080 to U+009F in UTF-8. A terminal may obey these.
bool has_control_character(const std::string& label) {
  for (size_t i = 0; i < label.size(); ++i) {
    const auto byte = static_cast<unsigned char>(label[i]);
    if (byte < 0x20 || byte == 0x7f) return true;
    if (byte == 0xc2 && i + 1 < label.size() && static_cast<unsigned char>(label[i + 1]) < 0xa0) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> short_names(const std::vector<std::string>& paths) {
  if (paths.empty()) return {};
  std::vector<Parts> parts;
  for (const std::string& path : paths) parts.push_back(parts_of(path));
  size_t front = 0, back = 0, least = parts[0].size();
  for (const Parts& each : parts) least = std::min(least, each.size());
  while (front + 1 < least && all_equal(parts, from_front, front)) ++front;
  if (paths.size() == 1 && front > 0 && parts[0].back().find('=') != std::string::npos) --front;
  while (paths.size() > 1 && front + back + 1 < least && all_equal(parts, from_back, back)) ++back;
  for (Parts& each : parts) each = Parts(each.begin() + static_cast<long>(front), each.end() - static_cast<long>(back));
  Parts names = names_of(parts);
  std::set<std::string> taken;
  for (std::string& name : names) {
    const std::string alone = name;
    for (int number = 2; !taken.insert(name).second; ++number) name = text(alone, " (", number, ")");
  }
  return names;
}

void check_labels(const std::vector<std::string>& labels, const std::vector<std::string>& names) {
  if (labels.empty()) return;
  if (labels.size() != names.size())
    user_error("--label: ", labels.size(), labels.size() == 1 ? " label" : " labels", " for ", names.size(), ": ",
               joined(names), "; give one for each, in this order");
  for (size_t i = 0; i < labels.size(); ++i) {
    if (has_control_character(labels[i]))
      user_error("--label: label ", i + 1, " has a control character; choose another");
    // The number of bytes keeps the names of files short even where the text is not UTF-8.
    if (columns_of(labels[i]) > kLongestLabel || labels[i].size() > 4 * kLongestLabel)
      user_error("--label \"", shortened(labels[i], 20), "\": a label has at most ", kLongestLabel,
                 " characters; choose a shorter one");
  }
  for (auto label = labels.begin(); label != labels.end(); ++label)
    if (label->empty() || std::find(labels.begin(), label, *label) != label)
      user_error("--label \"", *label, "\": ", label->empty() ? "a label is empty" : "two labels are equal",
                 "; choose another");
}

void label_arms(std::vector<Arm>& arms, const std::vector<std::string>& labels, bool by_family) {
  std::vector<std::string> was, folders;
  std::vector<size_t> of_arm;
  for (const Arm& arm : arms) {
    if (!by_family || was.empty() || arm.family != was.back()) {
      was.push_back(by_family ? arm.family : arm.label);
      folders.push_back(folder_of(arm, by_family));
    }
    of_arm.push_back(was.size() - 1);
  }
  // Runs of different seeds that are given one by one are separate arms.
  if (std::set<std::string>(folders.begin(), folders.end()).size() < folders.size() && !by_family)
    for (size_t i = 0; i < arms.size(); ++i) folders[i] = arms[i].runs.front().dir.string();
  const std::vector<std::string> own = short_names(folders);
  // Arms may share a label before they are named, such as two runs of equal settings.
  check_labels(labels, by_family ? was : own);
  const std::vector<std::string>& names = labels.empty() ? own : labels;
  for (size_t i = 0; i < arms.size(); ++i) {
    arms[i].label = names[of_arm[i]];
    if (!by_family) continue;
    arms[i].family = arms[i].label;
    if (!arms[i].settings.empty()) arms[i].label += " " + settings_text(arms[i].settings);
  }
}

}  // namespace gptmoe
