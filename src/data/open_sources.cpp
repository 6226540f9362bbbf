#include "data/open_sources.h"

namespace gptmoe {

BatchLoader open_training_data(const Config& config, int rank, int world_size) {
  std::vector<NamedText> texts;
  std::vector<double> shares;
  for (const DataSource& source : config.data.train) {
    TokenLoader text({source.path, config.train.sequence_length, config.model.vocab_size});
    const double epochs = source.epochs > 0 ? source.epochs : 1;
    shares.push_back(source.weight > 0 ? source.weight : epochs * static_cast<double>(text.windows()));
    texts.push_back({source.label(), std::move(text)});
  }
  return {std::move(texts), std::move(shares), static_cast<uint64_t>(config.seed), rank, world_size};
}

std::vector<NamedText> open_texts(const DataSources& sources, int64_t sequence_length, int64_t vocab_size) {
  std::vector<NamedText> texts;
  for (const DataSource& source : sources)
    texts.push_back(
        {sources.size() == 1 ? source.name : source.label(), TokenLoader({source.path, sequence_length, vocab_size})});
  return texts;
}

}  // namespace gptmoe
