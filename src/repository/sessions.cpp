#include "repository/sessions.h"

#include <fmt/format.h>

#include <algorithm>

#include "repository/layout.h"
#include "repository/session/session_keys.h"

namespace cacs::repository {

std::uint32_t object_generation(std::uint64_t generation) {
  return static_cast<std::uint32_t>(std::min(generation, kMaxSessionGeneration) + 1);
}

Sessions::Sessions(Backend& plain, const TenantKeys& keys, SessionSettings settings)
    : backend_(plain), sealer_(keys), settings_(std::move(settings)), registry_(plain, sealer_, settings_.writer) {}

std::shared_ptr<const CollectionView> Sessions::known_view() const {
  const std::lock_guard lock(mutex_);
  return view_;
}

Result<std::shared_ptr<const CollectionView>> Sessions::view() {
  const auto known = known_view();
  CACS_ASSIGN(auto read, read_collection_view(backend_, sealer_, *known));
  auto next = std::make_shared<const CollectionView>(std::move(read));
  const std::lock_guard lock(mutex_);
  // Another thread's may be newer by now; a later term's is.
  const bool older = next->state.term < view_->state.term ||
                     (next->state.term == view_->state.term && next->state.serial < view_->state.serial);
  if (!older) view_ = next;
  return next;
}

/// Of every writer that the state has, and of those that came since.
Status Sessions::register_roots(SessionStore& store, const CollectionView& view, std::vector<std::string>& keys) {
  const auto read = [&](const std::string& key) -> Result<SessionDocumentPtr> {
    SessionOp op;
    op.key = key;
    auto performed = store.perform(op);
    if (performed.error) return *performed.error;
    return std::move(performed.answer.document);
  };
  std::vector<Member> members = view.state.members;
  for (std::uint64_t seat = view.state.base + 1;; ++seat) {
    CACS_ASSIGN(const auto claim, read(claim_key(Chain::kSeats, seat)));
    if (claim == nullptr) break;
    members.push_back({seat, MemberStatus::kActive, 1, 0});
  }
  for (const Member& member : members) {
    SessionDocumentPtr last;
    for (std::uint64_t number = member.register_number;; ++number) {
      CACS_ASSIGN(auto next, read(register_key(member.seat, number)));
      if (next == nullptr) break;
      last = std::move(next);
    }
    const auto* content = session_document_as<WriterRegister>(last);
    if (content == nullptr) continue;
    keys.insert(keys.end(), content->committed.begin(), content->committed.end());
    for (const auto& open : content->open) keys.insert(keys.end(), open.roots.begin(), open.roots.end());
  }
  return {};
}

Result<KnownRoots> Sessions::roots() {
  SessionStore store(backend_, sealer_);
  CACS_ASSIGN(auto before, view());
  // A root goes from its writer's register to the catalogue, and is for some time in both. As long as the state is the
  // same before and after the registers were read, none was missed.
  constexpr int kRounds = 16;
  for (int round = 0; round < kRounds; ++round) {
    KnownRoots result;
    if (settings_.fault != SessionFault::kTrustListing) result.keys = before->catalogue.roots;
    if (settings_.fault == SessionFault::kTrustListing) {
      CACS_TRY(backend_.list("", [&](const ObjectInfo& object) -> Status {
        if (!object.name.starts_with(kSessionPrefix)) result.keys.push_back(object.name);
        return {};
      }));
    } else {
      CACS_TRY(register_roots(store, *before, result.keys));
    }
    CACS_ASSIGN(result.view, view());
    if (result.view->state.term == before->state.term && result.view->state.serial == before->state.serial) {
      std::sort(result.keys.begin(), result.keys.end());
      result.keys.erase(std::unique(result.keys.begin(), result.keys.end()), result.keys.end());
      return result;
    }
    before = result.view;
  }
  return make_error(ErrorCode::kUnavailable,
                    "look for checkpoints in " + backend_.describe() + ": collections go on faster than one can look",
                    "try again");
}

std::uint32_t Sessions::generation_of(const PackId& id) const {
  return object_generation(pack_generation(known_view()->catalogue, id.to_hex()));
}

Result<PackCatalog::Pack> Sessions::locate(const PackId& id, bool again) {
  if (again) CACS_TRY(view());
  const std::uint32_t generation = generation_of(id);
  CACS_ASSIGN(const std::uint64_t size, backend_.size(pack_name(id, generation)));
  return PackCatalog::Pack{.id = id, .generation = generation, .size = size};
}

Result<std::uint32_t> SessionGuard::verified(std::uint32_t pack) {
  if (const auto found = generations_.find(pack); found != generations_.end()) return found->second;
  const auto located = sessions_.locate(store_.catalog().id_of(pack), false);
  if (!located && located.error().code != ErrorCode::kNotFound) return located.error();
  const std::uint32_t generation = located ? located->generation : 0;
  if (located) store_.catalog().note(*located);
  generations_.emplace(pack, generation);
  return generation;
}

Result<bool> SessionGuard::allows(const Ref& ref) {
  const SessionFault fault = sessions_.settings().fault;
  if (fault != SessionFault::kReferCondemned && session_.avoids(store_.catalog().id_of(ref.pack).to_hex(), ref.slot))
    return false;
  if (fault == SessionFault::kTrustMemory) return true;
  CACS_ASSIGN(const std::uint32_t generation, verified(ref.pack));
  if (generation == 0) return false;
  auto pack = store_.open(ref.pack);
  if (pack && (*pack)->generation != generation) {
    // A table from before the last collection, or one that another session has found since.
    store_.drop_table(ref.pack);
    pack = store_.open(ref.pack);
  }
  if (!pack && pack.error().code != ErrorCode::kCorrupt && pack.error().code != ErrorCode::kUnsupported) {
    return pack.error();
  }
  return pack && (*pack)->generation == generation && (*pack)->table.place(ref.slot).has_value() &&
         !(*pack)->is_damaged(ref.slot);
}

}  // namespace cacs::repository
