#include <fmt/format.h>

#include "base/text.h"
#include "base/uuid.h"
#include "cli/exit_codes.h"
#include "cli/format.h"
#include "repository/keys/key_file.h"
#include "repository/keys/slots.h"
#include "tools/repo_actions.h"

// cacs repo key list, add, remove, passwd, rotate, refresh.
namespace cacs::tools {

using repository::Asking;
using repository::Credential;
using repository::KeySlot;
using repository::SlotMethod;

namespace {

/// The slots of a repository, and where they are.
struct Ring {
  FoundPlace place;
  repository::StorePlace opened;
  repository::Descriptor descriptor;
  repository::SlotList list;
};

Result<Ring> load_ring(cli::Context& context, const PlaceOptions& options) {
  Ring ring;
  CACS_ASSIGN(ring.place, find_place(context, options));
  CACS_ASSIGN(ring.opened, open_place(ring.place, IfMissing::kFail));
  CACS_ASSIGN(ring.descriptor, repository::read_descriptor(*ring.opened.backend));
  if (ring.descriptor.sealing == repository::Sealing::kNone) {
    return make_error(ErrorCode::kUnsupported,
                      "the repository in " + ring.place.describe() + " is not sealed: it has no keys",
                      "make one with `cacs repo init` that is");
  }
  CACS_ASSIGN(ring.list, load_slots(*ring.opened.backend, ring.descriptor.id));
  for (const auto& problem : ring.list.problems) {
    context.terminal().remark("a key slot cannot be read: " + printable(problem.message, 1000));
  }
  return ring;
}

/// What opened the repository, and what is in it.
struct Opened {
  Credential credential;
  repository::Unlocked unlocked;
};

Result<Opened> unlock_ring(cli::Context& context, const Ring& ring, const PlaceOptions& options) {
  CACS_ASSIGN(const auto source, key_source(context, options.key, ring.place));
  CACS_ASSIGN(
      const Credential credential,
      get_credential(source, Asking::kToUnlock, "Passphrase of the repository in " + ring.place.describe() + ": "));
  CACS_ASSIGN(auto unlocked, unlock(ring.list.slots, credential));
  if (unlocked.stale) {
    return make_error(ErrorCode::kPermission,
                      "the repository's keys have been rotated, and this key slot was not there",
                      "`cacs repo key refresh` with a credential of a slot that was, or use that one");
  }
  return Opened{.credential = credential, .unlocked = std::move(unlocked)};
}

const KeySlot& slot_of(const Ring& ring, const std::string& id) {
  return *std::ranges::find(ring.list.slots, id, &KeySlot::id);
}

std::size_t newest_of(const Ring& ring) {
  std::size_t newest = 0;
  for (const auto& slot : ring.list.slots) newest = std::max(newest, slot.prints().size());
  return newest;
}

const char* method_name(SlotMethod method) { return method == SlotMethod::kPassphrase ? "passphrase" : "key file"; }

/// What the agent of a node opens its repository with must go on to open it.
Status keep_agents_slot(const Ring& ring, const KeySlot& slot, const std::string& doing) {
  if (!ring.place.of_node || ring.place.key_file.empty()) return {};
  CACS_ASSIGN(const auto key, repository::read_key_file(ring.place.key_file));
  const auto opened = slot.open(Credential(key));
  if (!opened && opened.error().code == ErrorCode::kUnauthenticated) return {};
  return make_error(ErrorCode::kConflict,
                    doing + " " + slot.describe() + ": the node's agent opens its repository with it, by " +
                        ring.place.key_file.string(),
                    "leave it; `cacs repo key add` makes further slots");
}

void tell(cli::Context& context, const char* action, const KeySlot& slot) {
  if (context.json()) {
    context.print_raw(boost::json::serialize(
        JsonObject{{"action", action}, {"id", slot.id()}, {"method", method_name(slot.method())}}));
    return;
  }
  context.terminal().out(fmt::format("{} {}\n", action, slot.describe()));
}

Result<Credential> other_credential(const KeyOptions& options, Asking asking, const std::string& question) {
  CACS_ASSIGN(const auto source, key_source_of(options));
  return get_credential(source, asking, question);
}

/// A new credential: a person, or files; a key file that is not there is made.
Result<Credential> new_credential(cli::Context& context, const KeyOptions& options) {
  if (!options.key_file.empty()) {
    const Status made = create_key_file(options.key_file, repository::SecretKey::random());
    if (!made && made.error().code != ErrorCode::kConflict) return made.error();
    if (made) context.terminal().remark("made the key file " + printable(options.key_file, 4096));
  }
  return other_credential(options, Asking::kForNew, "New passphrase: ");
}

}  // namespace

Result<int> run_key_list(cli::Context& context, const KeyCommandOptions& options) {
  CACS_ASSIGN(const Ring ring, load_ring(context, options.place));
  const std::size_t newest = newest_of(ring);
  if (context.json()) {
    JsonArray items;
    for (const auto& slot : ring.list.slots) {
      items.push_back(JsonObject{{"id", slot.id()},
                                 {"method", method_name(slot.method())},
                                 {"host", slot.label().host},
                                 {"user", slot.label().user},
                                 {"created_at", format_time(slot.label().created)},
                                 {"generations", slot.prints().size()},
                                 {"stale", slot.prints().size() < newest}});
    }
    context.print_raw(boost::json::serialize(
        JsonObject{{"repository", ring.descriptor.id}, {"problems", ring.list.problems.size()}, {"items", items}}));
    return ring.list.problems.empty() ? cli::kExitOk : cli::kExitFailure;
  }
  const auto style = context.settings().utc ? cli::TimeStyle::kUtc : cli::TimeStyle::kRelative;
  cli::Table table({"ID", "OPENS WITH", "USER", "HOST", "MADE", "KEYS"});
  for (const auto& slot : ring.list.slots) {
    table.add({slot.id(), method_name(slot.method()), slot.label().user, slot.label().host,
               cli::format_when(format_time(slot.label().created), wall_now(), style),
               slot.prints().size() < newest ? "stale" : "current"});
  }
  context.terminal().out(table.render(context.terminal().colour_out()));
  return ring.list.problems.empty() ? cli::kExitOk : cli::kExitFailure;
}

Result<int> run_key_add(cli::Context& context, const KeyCommandOptions& options) {
  CACS_ASSIGN(const Ring ring, load_ring(context, options.place));
  CACS_ASSIGN(const Opened opened, unlock_ring(context, ring, options.place));
  CACS_ASSIGN(const Credential added, new_credential(context, options.other));
  if (unlock(ring.list.slots, added).ok()) {
    return make_error(ErrorCode::kConflict, "add a key slot: what it is to be opened with opens one already",
                      "give another passphrase or key file");
  }
  CACS_ASSIGN(
      const KeySlot slot,
      KeySlot::make({.id = new_uuid(), .repository = ring.descriptor.id, .label = repository::own_label(), .cost = {}},
                    added, opened.unlocked.keys));
  CACS_TRY(store_slot(*ring.opened.backend, slot));
  tell(context, "added", slot);
  return cli::kExitOk;
}

Result<int> run_key_remove(cli::Context& context, const KeyCommandOptions& options) {
  CACS_ASSIGN(const Ring ring, load_ring(context, options.place));
  std::vector<JsonObject> items;
  for (const auto& slot : ring.list.slots) items.push_back({{"id", slot.id()}});
  auto id = cli::pick_item(items, options.slot, "key slot");
  if (!id) return id.error().with_hint("`cacs repo key list` lists them");
  CACS_ASSIGN(const Opened opened, unlock_ring(context, ring, options.place));
  const KeySlot& slot = slot_of(ring, *id);
  if (*id == opened.unlocked.slot) {
    return make_error(ErrorCode::kConflict, "remove " + slot.describe() + ": it is the one that was opened just now",
                      "unlock with another one, to be sure that it works");
  }
  CACS_TRY(check_removable(ring.list.slots, *id));
  CACS_TRY(keep_agents_slot(ring, slot, "remove"));
  CACS_TRY(ring.opened.backend->remove(std::string(repository::kSlotPrefix) + *id));
  tell(context, "removed", slot);
  context.terminal().remark(
      "who has a copy of that slot and what opens it can still open the repository: "
      "`cacs repo key rotate` keeps what is stored from now on from them");
  return cli::kExitOk;
}

Result<int> run_key_passwd(cli::Context& context, const KeyCommandOptions& options) {
  CACS_ASSIGN(const Ring ring, load_ring(context, options.place));
  CACS_ASSIGN(const Opened opened, unlock_ring(context, ring, options.place));
  const KeySlot& slot = slot_of(ring, opened.unlocked.slot);
  CACS_TRY(keep_agents_slot(ring, slot, "change"));
  CACS_ASSIGN(const Credential changed, new_credential(context, options.other));
  CACS_ASSIGN(const KeySlot resealed, slot.resealed(changed, opened.unlocked.keys));
  CACS_TRY(store_slot(*ring.opened.backend, resealed));
  tell(context, "changed", resealed);
  return cli::kExitOk;
}

Result<int> run_key_rotate(cli::Context& context, const KeyCommandOptions& options) {
  CACS_ASSIGN(const FoundPlace place, find_place(context, options.place));
  // An agent that is at work would go on to seal under the old keys.
  CACS_ASSIGN(const UniqueFd held, hold_off_agent(place));
  CACS_ASSIGN(Ring ring, load_ring(context, options.place));
  CACS_ASSIGN(const Opened opened, unlock_ring(context, ring, options.place));
  std::vector<Credential> credentials{opened.credential};
  if (place.of_node && !place.key_file.empty()) {
    CACS_ASSIGN(const auto key, repository::read_key_file(place.key_file));
    credentials.emplace_back(key);
  }
  for (const auto& file : options.also_key_files) {
    CACS_ASSIGN(Credential more, other_credential({.passphrase_file = {}, .passphrase_command = {}, .key_file = file},
                                                  Asking::kToUnlock, {}));
    credentials.push_back(std::move(more));
  }
  for (const auto& file : options.also_passphrase_files) {
    CACS_ASSIGN(Credential more, other_credential({.passphrase_file = file, .passphrase_command = {}, .key_file = {}},
                                                  Asking::kToUnlock, {}));
    credentials.push_back(std::move(more));
  }
  // Alone, with the slots as they are now: two rotations at once would make two keys of one number.
  auto pass = ring.opened.gate->enter(repository::GateMode::kExclusive, repository::GateWait::kBlock);
  if (!pass) return pass.error().with_context("rotate the keys of " + place.describe());
  CACS_ASSIGN(ring.list, load_slots(*ring.opened.backend, ring.descriptor.id));
  CACS_ASSIGN(const auto rotation, rotate(ring.list.slots, opened.unlocked.keys, credentials));
  for (const auto& slot : rotation.resealed) CACS_TRY(store_slot(*ring.opened.backend, slot));
  if (context.json()) {
    JsonArray stale;
    for (const auto& id : rotation.stale) stale.emplace_back(id);
    context.print_raw(boost::json::serialize(JsonObject{
        {"generation", rotation.keys.newest()}, {"resealed", rotation.resealed.size()}, {"stale", std::move(stale)}}));
    return cli::kExitOk;
  }
  std::string text =
      fmt::format("rotated: generation {} is in {} key slots\n", rotation.keys.newest(), rotation.resealed.size());
  for (const auto& id : rotation.stale) {
    text += fmt::format("stale until `cacs repo key refresh`: {}\n", slot_of(ring, id).describe());
  }
  context.terminal().out(text);
  return cli::kExitOk;
}

Result<int> run_key_refresh(cli::Context& context, const KeyCommandOptions& options) {
  CACS_ASSIGN(const Ring ring, load_ring(context, options.place));
  CACS_ASSIGN(const Opened opened, unlock_ring(context, ring, options.place));
  CACS_ASSIGN(const Credential stale,
              other_credential(options.other, Asking::kToUnlock, "Passphrase of the stale slot: "));
  for (const auto& slot : ring.list.slots) {
    if (compare(slot, opened.unlocked.keys) != repository::SlotState::kStale) continue;
    auto refreshed = refresh(slot, stale, opened.unlocked.keys);
    if (!refreshed && refreshed.error().code == ErrorCode::kUnauthenticated) continue;
    if (!refreshed) return refreshed.error();
    CACS_TRY(store_slot(*ring.opened.backend, *refreshed));
    tell(context, "refreshed", *refreshed);
    return cli::kExitOk;
  }
  return make_error(ErrorCode::kUnauthenticated, "refresh a key slot: no stale slot opens with that",
                    "`cacs repo key list` shows which are stale");
}

}  // namespace cacs::tools
