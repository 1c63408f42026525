#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "repository/repository.h"

namespace cacs::format {

/// Whether segments are compressed where it saves anything. Chosen for the program: see set_compression().
enum class Compressing { kNo, kYes };
/// The reader of tests/format has no codec: with kNo every segment is stored as it is. Holds until the next call.
void set_compression(Compressing compressing);

enum class SampleSize {
  kLarge,  ///< several packs' worth of node shapes: some MiB
  kTiny,   ///< the same kinds of things in under 64 KiB
};

/// What a checkpoint of a sample holds, entry by entry: the same for the same size and number.
using Contents = std::map<std::string, std::string>;
inline constexpr int kVersions = 3;
Contents sample_contents(SampleSize size, int version);
/// Where the pages of the entry "memory" belong.
repository::PageLayout sample_layout(SampleSize size, int version);

/// Ids of the three versions, in order.
struct Sample {
  std::vector<std::string> checkpoints;
};
/// Makes an unsealed repository in `directory` and stores the versions in it, each with its parent, one checkpoint in
/// two pieces; and a piece that belongs to none.
Result<Sample> make_sample(const std::filesystem::path& directory, SampleSize size);
/// Opens what make_sample made.
Result<std::unique_ptr<repository::Repository>> open_sample(const std::filesystem::path& directory);

}  // namespace cacs::format
