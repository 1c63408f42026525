#include "repository/hold.h"

#include <algorithm>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

/// Packs whose tables a session has at hand from its start: lists and nodes of the latest checkpoints are found without
/// a hook.
constexpr std::size_t kRecentPacks = 8;

Status warm_recent_packs(Core& core) {
  const auto numbers = core.store.catalog().present();
  const std::size_t count = std::min(numbers.size(), kRecentPacks);
  for (std::size_t i = numbers.size() - count; i < numbers.size(); ++i) {
    const auto pack = core.store.open(numbers[i]);
    if (!pack && pack.error().code != ErrorCode::kCorrupt && pack.error().code != ErrorCode::kUnsupported) {
      return pack.error();
    }
  }
  return {};
}

Result<Hold> open_hold(Core& core, const std::vector<std::string>& roots) {
  Hold hold;
  if (!core.sessions) {
    CACS_ASSIGN(hold.pass, core.place.gate->enter(GateMode::kShared, GateWait::kBlock));
    return hold;
  }
  CACS_ASSIGN(auto session, core.sessions->begin(roots));
  hold.session = std::make_unique<Session>(std::move(session));
  // After the session has begun: the guard goes by what is there from now on.
  CACS_TRY(core.sessions->view());
  hold.guard = std::make_unique<SessionGuard>(*hold.session, *core.sessions, core.store);
  return hold;
}

}  // namespace

Result<Hold> hold_for_reading(Core& core) {
  CACS_ASSIGN(auto hold, open_hold(core, {}));
  CACS_TRY(core.store.refresh());
  return hold;
}

Result<Hold> hold_for_writing(Core& core, std::string_view checkpoint) {
  std::vector<std::string> roots;
  const std::string piece = new_uuid();
  std::string manifest;
  if (core.sessions) {
    roots.push_back(piece_name(piece));
    // A name that no other session has: a root that comes late from one that was fenced is told apart by it.
    if (!checkpoint.empty()) {
      manifest = manifest_name(core.keys(), checkpoint) + "." + PackId::make().to_hex();
      roots.push_back(manifest);
    }
  }
  CACS_ASSIGN(auto hold, open_hold(core, roots));
  hold.piece = piece;
  hold.manifest = std::move(manifest);
  // Inside: from here on no pack disappears that the hold may refer to, so the index may be built on.
  CACS_TRY(core.store.refresh());
  CACS_TRY(core.store.catalog().load_hooks());
  CACS_TRY(warm_recent_packs(core));
  return hold;
}

Status store_root(Core& core, Hold& hold, DocumentKind kind, const std::string& name, const JsonObject& body,
                  Overwrite overwrite) {
  if (!hold.session) {
    CACS_TRY(store_document(core.backend(), kind, core.keys(), name, body, overwrite));
    hold.pass.reset();
    return {};
  }
  const auto stored =
      store_document(core.sessions->backend(), kind, core.keys(), name, body, Overwrite::kNo, kSessionDocumentVersion);
  if (!stored) {
    hold.session->doubt();
    return stored.error().with_hint("it may yet turn out to have been stored: look for it before you try again");
  }
  if (const auto confirmed = hold.session->confirm(); !confirmed) {
    hold.session->doubt();
    const bool ignored = core.place.sessions.fault == SessionFault::kIgnoreFence;
    return ignored && confirmed.error().code == ErrorCode::kAborted ? ok_status() : confirmed;
  }
  if (const auto ended = hold.session->end(); !ended) spdlog::warn("{}", ended.error().to_string());
  hold.guard.reset();
  hold.session.reset();
  return {};
}

}  // namespace cacs::repository
