#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "cli/command.h"
#include "repository/repository.h"
#include "tools/place_options.h"

/// What the commands that look into checkpoints have in common: the repository, and how a checkpoint is named in it.
namespace cacs::tools {

/// The repository that is named, or the node's own.
Result<std::unique_ptr<repository::Repository>> open_repository_of(const cli::Context& context,
                                                                   const PlaceOptions& options);

/// A checkpoint by its id, a beginning of one that no other has (at least 4 characters), or APP:latest, APP being an
/// application's id, a unique beginning of it, or its name. kNotFound; kInvalidArgument where several are meant.
Result<std::string> find_checkpoint(repository::Repository& repository, const std::string& text);
/// The same, of what list() gave. Pure.
Result<std::string> choose_checkpoint(const std::vector<repository::Summary>& all, const std::string& text);

}  // namespace cacs::tools
