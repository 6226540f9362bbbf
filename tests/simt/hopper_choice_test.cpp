// Which kernels run on a Hopper, and the check that "auto" makes first. Scripts stand in for the program that checks,
// except where the check itself is tested.
#include "engine/hopper_choice.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "base/seal.h"
#include "engine/backend.h"
#include "engine/hopper_check.h"
#include "made_up_world.h"
#include "simt/simulated_device.h"
#include "support/error_message.h"
#include "support/model_fixture.h"
#include "support/process.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

class HopperKernels : public ::testing::Test {
 protected:
  ~HopperKernels() override { simt::simulated_device = {}; }

  static Config config(const std::string& hopper = "auto", const std::string& precision = "auto",
                       const std::string& device = "cuda") {
    return tiny_config({{"device", device}, {"precision", precision}, {"kernels", {{"hopper", hopper}}}});
  }
  // A program that runs the lines of a script when it is asked to check.
  HopperCheck check_by(const std::string& script) {
    const fs::path program = folder_ / text("program", programs_++);
    write_text_file(program, "#!/bin/sh\necho >>" + (folder_ / "checks").string() + "\n" + script + "\n");
    fs::permissions(program, fs::perms::owner_all);
    return {.program = program, .file = file_, .limit = std::chrono::seconds(60)};
  }
  int64_t checks() const {
    return fs::exists(folder_ / "checks") ? static_cast<int64_t>(fs::file_size(folder_ / "checks")) : 0;
  }
  std::string kept() const { return text(" (kept in ", file_.string(), "; remove this file to check again)"); }

  TemporaryFolder folder_;
  const fs::path file_ = folder_ / "cache" / "hopper.json";
  int programs_ = 0;
};

TEST_F(HopperKernels, RunAsTheConfigSaysWithoutACheck) {
  const HopperCheck check = check_by("exit 1");
  const auto choose = [&](const char* hopper) { return choose_hopper(config(hopper), check); };
  EXPECT_TRUE(choose("on").used);
  EXPECT_EQ(choose("on").line(), "Hopper's (kernels.hopper is \"on\")");
  EXPECT_FALSE(choose("off").used);
  EXPECT_EQ(choose("off").line(), "portable (kernels.hopper is \"off\")");
  EXPECT_EQ(choose_hopper(config(), {}).line(), "portable (this program cannot check Hopper's)");
  EXPECT_EQ(checks(), 0);
}

TEST_F(HopperKernels, AreRefusedOrLeftOutWhereTheyCannotRun) {
  const HopperCheck check = check_by("exit 0");
  const auto line = [&](const Config& config) { return choose_hopper(config, check).line(); };
  const auto refusal = [&](const Config& config) { return message<UserError>([&] { line(config); }); };
  EXPECT_EQ(line(config("auto", "auto", "cpu")), "");
  EXPECT_EQ(refusal(config("on", "auto", "cpu")),
            "kernels.hopper: \"on\", but the run is on a CPU; set it to \"auto\"");
  EXPECT_EQ(line(config("auto", "f32")), "portable (Hopper's compute in bf16, and the run's precision is f32)");
  EXPECT_EQ(refusal(config("on", "f32")),
            "kernels.hopper: \"on\", but Hopper's compute in bf16, and the run's precision is f32; set it to \"auto\"");
  simt::simulated_device.major = 8;
  const std::string other =
      "the simulated GPU (compute capability 8.0) is not a Hopper GPU, which has compute "
      "capability 9.0";
  EXPECT_EQ(line(config()), "portable (" + other + ")");
  EXPECT_EQ(refusal(config("on")), "kernels.hopper: \"on\", but " + other + "; set it to \"auto\"");
  simt::simulated_device.count = 0;
  EXPECT_TRUE(refusal(config("on")).starts_with("device: \"cuda\", but no GPU was found")) << refusal(config("on"));
  EXPECT_EQ(checks(), 0);
}

TEST_F(HopperKernels, AreCheckedOnceForEachGpuDriverAndProgram) {
  const HopperCheck check = check_by("exit 0");
  const auto choose = [&](const HopperCheck& by) { return choose_hopper(config(), by); };
  for (int again = 0; again < 2; ++again) {
    EXPECT_TRUE(choose(check).used);
    EXPECT_EQ(choose(check).line(), "Hopper's (they passed their check on this GPU)");
    EXPECT_EQ(checks(), 1);
  }
  simt::simulated_device.host[0] = 1;
  EXPECT_TRUE(choose(check).used);
  EXPECT_EQ(checks(), 2);
  simt::simulated_device.driver_version += 10;
  EXPECT_TRUE(choose(check).used);
  EXPECT_EQ(checks(), 3);
  EXPECT_FALSE(choose(check_by("exit 1")).used);
  EXPECT_EQ(checks(), 4);
  EXPECT_TRUE(choose(check).used);
  EXPECT_EQ(checks(), 4);
}

TEST_F(HopperKernels, ThatFailedStayOut) {
  HopperCheck hangs = check_by("exec sleep 600");
  hangs.limit = std::chrono::milliseconds(500);
  const std::vector<std::pair<HopperCheck, std::string>> failures = {
      {check_by("echo one; echo 'gptmoe: attention_1: out[0]: 1, expected 2' >&2; exit 1"),
       "attention_1: out[0]: 1, expected 2"},
      {check_by("exit 1"), "exit code 1"},
      {check_by("kill -SEGV $$"), "ended by signal 11 (Segmentation fault)"},
      {hangs, "not finished in 0.5 s"}};
  for (const auto& [check, why] : failures) {
    const int64_t before = checks();
    for (int again = 0; again < 2; ++again) {
      const HopperChoice choice = choose_hopper(config(), check);
      EXPECT_FALSE(choice.used);
      EXPECT_EQ(choice.why, "Hopper's failed their check on this GPU: " + why + kept());
    }
    EXPECT_EQ(checks(), before + 1) << why;
  }
}

// What prevented a check says nothing about the kernels, so the next process checks.
TEST_F(HopperKernels, ThatCouldNotBeCheckedAreCheckedNextTime) {
  const HopperCheck no_room = check_by("echo 'gptmoe: no room' >&2; exit 2"), killed = check_by("kill -KILL $$");
  HopperCheck not_a_program = check_by(""), missing{.program = folder_ / "missing", .file = file_};
  fs::permissions(not_a_program.program, fs::perms::owner_read);
  struct Prevented {
    HopperCheck check;
    std::string why;
    int started;
  };
  for (const auto& [check, why, started] : std::vector<Prevented>{{no_room, "no room", 1},
                                                                  {killed, "ended by signal 9 (Killed)", 1},
                                                                  {not_a_program, "cannot start it: Permission", 0},
                                                                  {missing, missing.program.string(), 0}}) {
    const int64_t before = checks();
    for (int again = 0; again < 2; ++again) {
      const HopperChoice choice = choose_hopper(config(), check);
      EXPECT_FALSE(choice.used);
      EXPECT_TRUE(choice.why.starts_with(text("Hopper's could not be checked: ", why))) << choice.why;
    }
    EXPECT_EQ(checks(), before + 2 * started) << why;
  }
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(HopperKernels, AreCheckedAgainIfTheVerdictsAreDamaged) {
  const HopperCheck check = check_by("exit 0");
  choose_hopper(config(), check);
  const std::string good = read_text_file(file_);
  std::string flipped = good;
  flipped[good.find("passed")] = 'q';
  for (const std::string& bad : {flipped, std::string("{"), sealed(R"({"choices":{}})")}) {
    write_text_file(file_, bad);
    const int64_t before = checks();
    EXPECT_TRUE(choose_hopper(config(), check).used);
    EXPECT_EQ(checks(), before + 1) << bad;
    EXPECT_EQ(read_text_file(file_), good);
  }
}

TEST_F(HopperKernels, AreCheckedByEachProcessIfTheVerdictsCannotBeKept) {
  HopperCheck check = check_by("exit 0");
  for (const fs::path& file : {fs::path(), folder_ / "program0" / "hopper.json"}) {  // no folder; not a folder
    check.file = file;
    const int64_t before = checks();
    EXPECT_TRUE(choose_hopper(config(), check).used);
    EXPECT_TRUE(choose_hopper(config(), check).used);
    EXPECT_EQ(checks(), before + 2);
  }
}

// Exchange 0: the rank has made its choice. Exchange 1: "+", it uses Hopper's kernels, or why it does not.
TEST_F(HopperKernels, RunOnAllRanksOrOnNone) {
  simt::simulated_device.count = 3;
  const auto choice = [&](const char* script, const char* of_rank_1) {
    MadeUpWorld world(0, 3, [&](int rank, int exchange) {
      return std::string(exchange == 0 ? "." : rank == 1 ? of_rank_1 : "+");
    });
    return agreed_hopper(config(), check_by(script), world);
  };
  EXPECT_TRUE(choice("exit 0", "+").used);
  EXPECT_EQ(choice("exit 0", "+").line(), "Hopper's (they passed their check on this GPU)");
  EXPECT_FALSE(choice("exit 0 # 2", "they failed").used);
  EXPECT_EQ(choice("exit 0 # 2", "they failed").line(), "portable (rank 1 (here): they failed)");
  EXPECT_FALSE(choice("exit 2", "+").used);
  EXPECT_EQ(choice("exit 2", "+").line(), "portable (rank 0 (here): Hopper's could not be checked: exit code 2)");
}

TEST_F(HopperKernels, AreCheckedOnTheGpuOfTheRank) {
  EXPECT_TRUE(choose_hopper(config(), check_by("[ \"$*\" = 'check-hopper 2 4' ]"), 2, 4).used);
}

// ---- The check itself, by gptmoe on the simulated GPU.

class HopperCheckProgram : public HopperKernels {
 protected:
  // What a child process of gptmoe finds. `how`: see tests/simt/program/main.cpp.
  HopperChoice choice(const char* how) {
    HopperCheck check{.program = build_folder() + "/gptmoe_simulated", .file = file_, .limit = limit_};
    if (how) setenv("GPTMOE_TEST_HOPPER", how, 1);
    const HopperChoice choice = choose_hopper(config(), check);
    unsetenv("GPTMOE_TEST_HOPPER");
    return choice;
  }
  std::chrono::milliseconds limit_ = std::chrono::minutes(5);  // a machine may be slow
};

TEST_F(HopperCheckProgram, PassesRightKernelsAndIsNotRepeated) {
  EXPECT_EQ(choice(nullptr).line(), "Hopper's (they passed their check on this GPU)");
  EXPECT_TRUE(choice("crash").used) << "the verdict was not kept";
}

TEST_F(HopperCheckProgram, CatchesWrongKernels) {
  const std::string why = choice("wrong").why;
  EXPECT_TRUE(why.starts_with("Hopper's failed their check on this GPU: grouped_linear_385x1x5x72x136_tile_edges: "))
      << why;
  EXPECT_NE(why.find(", expected "), std::string::npos) << why;
  EXPECT_TRUE(why.ends_with(kept())) << why;
  EXPECT_EQ(choice("crash").why, why) << "the verdict was not kept";
}

TEST_F(HopperCheckProgram, CatchesKernelsThatBreakTheGpu) {
  const std::string why = choice("broken").why;
  EXPECT_TRUE(why.starts_with("Hopper's failed their check on this GPU: CUDA: ")) << why;
}

TEST_F(HopperCheckProgram, CatchesACrashAndAHang) {
  EXPECT_NE(choice("crash").why.find("ended by signal 11"), std::string::npos);
  fs::remove(file_);
  limit_ = std::chrono::milliseconds(500);
  EXPECT_NE(choice("hang").why.find("not finished in 0.5 s"), std::string::npos);
}

TEST_F(HopperCheckProgram, SaysWhyItCannotCheck) {
  EXPECT_TRUE(choice("no_memory").why.starts_with("Hopper's could not be checked: CUDA: ")) << choice("no_memory").why;
}

TEST_F(HopperCheckProgram, AWrongKernelDoesNotStopTraining) {
  const RunFolder files;
  write_text_file(folder_ / "config.json", to_json(files.config({{"device", "cuda"}})).dump());
  const ProcessOptions options{
      .environment = {"GPTMOE_TEST_HOPPER=wrong", "XDG_CACHE_HOME=" + (folder_ / "cache").string()}};
  const ProcessResult result =
      run(folder_.path(), {build_folder() + "/gptmoe_simulated", "train", "config.json", "--out", "run"}, options);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  // On a busy machine, the reason may be that the check took too long.
  EXPECT_NE(result.out.find("\nkernels     portable (Hopper's failed their check on this GPU: "), std::string::npos)
      << result.out;
  EXPECT_TRUE(fs::exists(folder_ / "cache/gptmoe/hopper.json"));
  const nlohmann::json provenance = nlohmann::json::parse(read_text_file(folder_ / "run/provenance.json"));
  EXPECT_EQ(provenance["history"][0]["machine"]["kernels"], "portable");
}

}  // namespace
}  // namespace gptmoe::testing
