#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "repository/core.h"
#include "repository/types.h"

/// Pieces, and checkpoints made of them.
namespace cacs::repository {

Result<Piece> load_piece(Core& core, std::string_view piece);
Status drop_piece(Core& core, std::string_view piece);

enum class NamePieces { kNo, kYes };  ///< whether the manifest says which it was made of
/// Repository::commit_checkpoint.
Status commit_pieces(const std::shared_ptr<Core>& core, Manifest head, const std::vector<std::string>& pieces,
                     NamePieces name);

/// Repository::extend_checkpoint.
Status extend_by_pieces(const std::shared_ptr<Core>& core, std::string_view checkpoint,
                        const std::vector<std::string>& pieces, JsonObject meta);

}  // namespace cacs::repository
