#include "cli/domains.h"

#include "base/check.h"
#include "base/progress.h"

namespace gptmoe {
namespace {

NamedText open_domain(const std::string& argument, int64_t T, int64_t V) {
  const size_t equals = argument.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == argument.size())
    user_error("--domain ", argument, ": not NAME=GLOB; write for example --domain 'books=data/books/*.bin'");
  const std::string name = argument.substr(0, equals), shards = argument.substr(equals + 1);
  return {name, TokenLoader({shards, T, V})};
}

// `count` batches of B windows, which are spaced evenly over the text.
Batches spread_batches(const TokenLoader& loader, int64_t B, int64_t count) {
  return {count, [&loader, B, wanted = B * count](Engine& engine, int64_t batch) {
            const Tensor &tokens_BT = engine.batch_tokens_BT(), &targets_BT = engine.batch_targets_BT();
            const int64_t T = tokens_BT.size(1);
            for (int64_t b = 0; b < B; ++b)
              loader.window((batch * B + b) * loader.windows() / wanted, tokens_BT.rows(b, 1).view({T}),
                            targets_BT.rows(b, 1).view({T}));
            engine.upload_batch();
          }};
}

}  // namespace

std::vector<NamedText> open_domains(const std::vector<std::string>& arguments, int64_t T, int64_t V) {
  std::vector<NamedText> texts;
  for (const std::string& argument : arguments) {
    NamedText opened = open_domain(argument, T, V);
    for (const NamedText& other : texts)
      if (other.name == opened.name)
        user_error("--domain ", opened.name, ": given twice; give each domain one pattern and its own name");
    texts.push_back(std::move(opened));
  }
  return texts;
}

std::vector<Domain> domain_batches(const std::vector<NamedText>& texts, int64_t B, int64_t T, int64_t count) {
  std::vector<Domain> domains;
  for (const auto& [name, loader] : texts) {
    const std::string& shards = loader.pattern();
    if (loader.windows() < B * count)
      user_error("--domain ", name, ": ", shards, " has ", grouped_digits(loader.windows() * T),
                 " tokens in whole sequences, but ", grouped_digits(B * count * T),
                 " are needed per domain; add text, or lower --tokens or --batch-size");
    domains.push_back({name, shards, spread_batches(loader, B, count)});
  }
  return domains;
}

}  // namespace gptmoe
