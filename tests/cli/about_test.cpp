// gptmoe --version, gptmoe help, the changelog's version and the completion of the command line in bash.
#include <fstream>
#include <set>

#include "cli/cli_fixture.h"
#include "cli/commands.h"
#include "train/build_info.h"

namespace gptmoe::testing {
namespace {

class About : public CommandLine {};

TEST_F(About, TheVersionNamesTheBuildThatRunsRecord) {
  const ProcessResult result = succeed({"--version"});
  EXPECT_TRUE(result.out.starts_with(text("gptmoe ", build_info().version, "\n"))) << result.out;
  EXPECT_EQ(succeed({"-V"}).out, result.out);

  succeed({"train", write_config("run.json"), "--out", "run", "--set", "train.steps=4"});
  const auto recorded = nlohmann::json::parse(read_text_file(files_ / "run/provenance.json"))["history"][0]["build"];
  for (const auto& [label, key] : {std::pair("commit", "commit"),
                                   {"compiler", "compiler"},
                                   {"products", "products"},
                                   {"CUDA", "cuda"},
                                   {"NCCL", "nccl"},
                                   {"MPI", "mpi"}}) {
    const std::string value = recorded.at(key).is_null() ? "none" : recorded[key].get<std::string>();
    EXPECT_NE(value, "");
    std::string line = label;
    line.resize(12, ' ');
    expect_contains(result.out, "\n" + line + value + "\n");
  }
  expect_contains(result.out, recorded["native"] ? ", tuned for the CPU it was built on\n" : ", portable\n");
}

TEST_F(About, TheChangelogStartsWithTheProgramsVersion) {
  std::ifstream changelog(source_folder() + "/CHANGELOG.md");
  std::string line;
  while (std::getline(changelog, line) && !line.starts_with("## ")) {
  }
  EXPECT_TRUE((line + " ").starts_with(text("## ", build_info().version, " "))) << line;
}

TEST_F(About, HelpDescribesLikeTheOption) {
  EXPECT_EQ(succeed({"help"}).out, succeed({"--help"}).out);
  for (const char* command : {"train", "bench", "help"})
    EXPECT_EQ(succeed({"help", command}).out, succeed({command, "--help"}).out) << command;
  refuse({"help", "trian"}, {"unknown subcommand \"trian\"; did you mean \"train\"?"});
  refuse({"help", "train", "plan"}, {"unexpected argument: plan"});
}

// ---- Completion ----------------------------------------------------------------------------------------------------

class Completion : public About {
 protected:
  // What bash offers for the last of `words`, the arguments of `program`, in alphabetical order.
  std::set<std::string> offered(const std::string& program, std::vector<std::string> words) {
    const size_t last = words.size();
    std::string script = "source '" + source_folder() + "/packaging/completion.bash'; COMP_WORDS=('" + program + "'";
    for (const std::string& word : words) script += " '" + word + "'";
    words.insert(words.begin(), program);
    script += text("); COMP_CWORD=", last, "; _gptmoe '", program, "' '", words[last], "' '", words[last - 1],
                   "'; printf '%s\\n' \"${COMPREPLY[@]}\"");
    const ProcessResult result = run(folder(), {"/bin/bash", "-c", script});
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, "");
    std::set<std::string> all;
    std::istringstream lines(result.out);
    for (std::string line; std::getline(lines, line);) {
      if (line.empty()) continue;  // bash prints one for no words
      EXPECT_TRUE(all.insert(line).second) << line;
    }
    return all;
  }
};

std::set<std::string> options_of(const CLI::App& command) {
  std::set<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.insert("--" + name);
    for (const std::string& name : option->get_snames()) names.insert("-" + name);
  }
  return names;
}

std::set<std::string> subcommands_of(const CLI::App& app) {
  const std::vector<std::string> names = command_names(app);
  return {names.begin(), names.end()};
}

TEST_F(Completion, OffersEverySubcommandAndOption) {
  CLI::App app;
  char* no_arguments[] = {nullptr};
  Job job(no_arguments);
  add_commands(app, job);
  EXPECT_EQ(offered(gptmoe_binary(), {""}), subcommands_of(app));
  EXPECT_EQ(offered(gptmoe_binary(), {"-"}), options_of(app));
  EXPECT_EQ(offered(gptmoe_binary(), {"help", ""}), subcommands_of(app));
  for (const std::string& name : command_names(app)) {
    const CLI::App& command = *app.get_subcommand(name);
    EXPECT_EQ(offered(gptmoe_binary(), {name, "-"}), options_of(command)) << name;
    for (const std::string& part : command_names(command))
      EXPECT_EQ(offered(gptmoe_binary(), {name, part, "-"}), options_of(*command.get_subcommand(part))) << part;
  }
  EXPECT_EQ(offered(gptmoe_binary(), {"bench", ""}), subcommands_of(*app.get_subcommand("bench")));
}

TEST_F(Completion, OffersValuesAndLeavesFilesToTheShell) {
  using Words = std::set<std::string>;
  EXPECT_EQ(offered(gptmoe_binary(), {"tr"}), Words{"train"});
  EXPECT_EQ(offered(gptmoe_binary(), {"train", "a.json", "--out", "train", "--res"}), (Words{"--restart", "--resume"}));
  EXPECT_EQ(offered(gptmoe_binary(), {"eval", "run", "--device", ""}), (Words{"auto", "cpu", "cuda"}));
  EXPECT_EQ(offered(gptmoe_binary(), {"eval", "run", "--device", "c"}), (Words{"cpu", "cuda"}));
  EXPECT_EQ(offered(gptmoe_binary(), {"eval", "run", "--json", ""}), Words());
  EXPECT_EQ(offered(gptmoe_binary(), {"train", ""}), Words());
  EXPECT_EQ(offered("no_such_program", {"train", "-"}), Words());
}

}  // namespace
}  // namespace gptmoe::testing
