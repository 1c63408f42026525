#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "repository/core.h"
#include "repository/gate.h"

namespace cacs::repository {

/// What keeps collections from removing what its owner refers to: a passage through the gate, or a session. One thread
/// at a time.
struct Hold {
  std::unique_ptr<GatePass> pass;
  std::unique_ptr<Session> session;     ///< null where there is a gate
  std::unique_ptr<SessionGuard> guard;  ///< the same
  std::string piece;                    ///< id of the piece that the session may write
  std::string manifest;                 ///< key of the manifest that it may write; empty: none
};

/// A hold for reading.
Result<Hold> hold_for_reading(Core& core);
/// A hold for storing a piece, or the manifest of `checkpoint` ("": it is not known yet). The index is taken in.
Result<Hold> hold_for_writing(Core& core, std::string_view checkpoint);

/// Stores a manifest or piece, on which everything that it names has to be durable, and ends the hold. On failure it
/// does not exist, or (an answer was lost) may: the next collection decides. kAborted: this process was taken for dead.
/// Only where there is a gate may it take the place of one that is there.
Status store_root(Core& core, Hold& hold, DocumentKind kind, const std::string& name, const JsonObject& body,
                  Overwrite overwrite = Overwrite::kNo);

}  // namespace cacs::repository
