#include "distributed/agree.h"

#include <algorithm>

#include "base/check.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/printable.h"

namespace gptmoe {
namespace {

constexpr size_t kShown = 100;  // maximum characters of a value in a message

template <typename Error>
struct Agreed final : Error, KnownToAllRanks {
  using Error::Error;
};

// A rank's report on its setup begins with one of these outcomes. If there is an error, its text follows.
constexpr char kFine = '.', kUserError = 'u', kFailure = 'f', kNumericFailure = 'n', kBug = 'b';

std::string outcome_of(const std::function<void()>& setup) {
  try {
    setup();
    return {kFine};
  } catch (const UserError& error) {
    return kUserError + std::string(error.what());
  } catch (const BugError& error) {
    return kBug + std::string(error.what());
  } catch (const NumericFailure& error) {
    return kNumericFailure + std::string(error.what());
  } catch (const std::exception& error) {
    return kFailure + message_of(error);
  }
}

std::string shown(const std::string& value) { return value.size() <= kShown ? value : value.substr(0, kShown) + "..."; }

// Joins texts so that they can be split again.
std::string packed(const NamedValues& facts) {
  std::string out;
  for (const auto& [what, value] : facts)
    for (const std::string* part : {&what, &value}) out += std::to_string(part->size()) + ":" + *part;
  return out;
}

NamedValues unpacked(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < text.size();) {
    const size_t colon = text.find(':', at), size = std::stoul(text.substr(at, colon - at));
    parts.push_back(text.substr(colon + 1, size));
    at = colon + 1 + size;
  }
  NamedValues facts;
  for (size_t i = 0; i + 1 < parts.size(); i += 2) facts.emplace_back(parts[i], parts[i + 1]);
  return facts;
}

// The first difference of `theirs` from `ours`; "" if there is none.
std::string difference(const World& world, const NamedValues& ours, const NamedValues& theirs, int rank) {
  const std::string root = world.name(0), other = world.name(rank);
  for (size_t i = 0; i < std::max(ours.size(), theirs.size()); ++i) {
    if (i >= ours.size() || i >= theirs.size() || ours[i].first != theirs[i].first)
      return text(root, " and ", other, " compare different values; start the same build of gptmoe on all ranks");
    if (ours[i].second != theirs[i].second)
      return text(ours[i].first, ": not the same on all ranks: ", shown(ours[i].second), " on ", root, ", ",
                  shown(theirs[i].second), " on ", other);
  }
  return "";
}

// Throws on every rank the error of the lowest failing rank.
void throw_first(const World& world, const std::vector<std::string>& outcomes, bool named) {
  const auto failed =
      std::find_if(outcomes.begin(), outcomes.end(), [](const std::string& outcome) { return outcome[0] != kFine; });
  if (failed == outcomes.end()) return;
  const bool alike =
      std::all_of(outcomes.begin(), outcomes.end(), [&](const std::string& each) { return each == *failed; });
  const int rank = static_cast<int>(failed - outcomes.begin());
  const std::string message = (named && !alike ? world.name(rank) + ": " : "") + failed->substr(1);
  if ((*failed)[0] == kUserError) throw Agreed<UserError>(message);
  if ((*failed)[0] == kBug) throw Agreed<BugError>(message);
  if ((*failed)[0] == kNumericFailure) throw Agreed<NumericFailure>(message);
  throw Agreed<Failure>(message);
}

}  // namespace

void agree(World& world, const std::function<void()>& setup) {
  if (world.size() == 1) return setup();
  throw_first(world, world.all_gather(outcome_of(setup)), true);
}

void on_root(World& world, const std::function<void()>& action) {
  if (world.size() == 1) return action();
  const auto nothing = [] {};
  throw_first(world, world.all_gather(world.is_root() ? outcome_of(action) : outcome_of(nothing)), false);
}

bool root_says(World& world, const std::function<bool()>& question) {
  bool answer = false;
  on_root(world, [&] { answer = question(); });
  return world.any(answer);
}

void check_alike(World& world, const NamedValues& facts) {
  if (world.size() == 1) return;
  const std::vector<std::string> all = world.all_gather(packed(facts));
  const NamedValues root = unpacked(all[0]);
  for (int rank = 1; rank < world.size(); ++rank)
    if (const std::string found = difference(world, root, unpacked(all[static_cast<size_t>(rank)]), rank);
        !found.empty())
      throw Agreed<UserError>(found);
}

std::string program_checksum() { return file_checksum("/proc/self/exe"); }

}  // namespace gptmoe
