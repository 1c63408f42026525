#include "repository/repository.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/layout.h"
#include "repository/summaries.h"
#include "repository/writer_state.h"

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

/// The descriptor is readable without keys: it says which ones are needed.
TenantKeys descriptor_keys() { return TenantKeys::unsealed("cacs descriptor"); }

}  // namespace

Result<Descriptor> read_descriptor(Backend& backend) {
  auto json = load_document(backend, DocumentKind::kRepository, descriptor_keys(), std::string(kDescriptorName));
  if (!json && json.error().code == ErrorCode::kNotFound) {
    return make_error(ErrorCode::kNotFound, fmt::format("there is no repository in {}", backend.describe()),
                      "make one first, or name another place");
  }
  if (!json) return json.error();
  Descriptor descriptor;
  CACS_ASSIGN(descriptor.id, json_string(*json, "repository"));
  CACS_ASSIGN(const std::int64_t sealing, json_int(*json, "sealing"));
  if (sealing < 0 || sealing > static_cast<std::int64_t>(Sealing::kChaCha20Poly1305)) {
    return make_error(ErrorCode::kUnsupported, "the repository is sealed in a way that this version does not know",
                      "use a newer version of cacs");
  }
  descriptor.sealing = static_cast<Sealing>(sealing);
  return descriptor;
}

Repository::Repository(std::shared_ptr<Core> core) : core_(std::move(core)) {}
Repository::~Repository() = default;

Result<std::unique_ptr<Repository>> Repository::create(Place place, const std::string& id) {
  Backend& backend = *place.backend;
  const std::string doing = "make a repository in " + backend.describe();
  if (backend.size(std::string(kDescriptorName)).ok()) {
    return make_error(ErrorCode::kConflict, doing + ": there is one already");
  }
  const JsonObject body{{"repository", id}, {"sealing", static_cast<int>(place.keys.sealing())}};
  CACS_TRY(store_document(backend, DocumentKind::kRepository, descriptor_keys(), std::string(kDescriptorName), body,
                          Overwrite::kNo)
               .context(doing));
  return open(std::move(place));
}

Result<std::unique_ptr<Repository>> Repository::open(Place place) {
  CACS_ASSIGN(const Descriptor descriptor, read_descriptor(*place.backend));
  const std::string doing = "open the repository in " + place.backend->describe();
  if (descriptor.sealing != place.keys.sealing()) {
    return make_error(ErrorCode::kPermission, doing + ": these are not its keys", "use the key that it was made with");
  }
  auto core = std::make_shared<Core>(std::move(place));
  CACS_TRY(core->store.refresh().context(doing));
  return std::unique_ptr<Repository>(new Repository(std::move(core)));
}

Result<std::unique_ptr<Writer>> Repository::begin(std::string_view label) {
  CACS_ASSIGN(auto pass, core_->place.gate->enter(GateMode::kShared, GateWait::kBlock));
  // Inside: from here on no pack disappears, so everything that the index names may be built on.
  CACS_TRY(core_->store.refresh());
  CACS_TRY(core_->store.catalog().load_hooks());
  CACS_TRY(warm_recent_packs(*core_));
  auto state = std::make_unique<Writer::State>(core_, std::move(pass), label);
  return std::unique_ptr<Writer>(new Writer(std::move(state)));
}

// --- pieces ----------------------------------------------------------------------------------------------------------

Status Repository::commit_checkpoint(Manifest head, const std::vector<std::string>& pieces) {
  const std::string doing = fmt::format("commit checkpoint {}", head.checkpoint);
  if (!head.entries.empty()) return make_error(ErrorCode::kInvalidArgument, doing + ": the head must have no entries");
  if (auto done = load_manifest_document(*core_, head.checkpoint); done.ok()) {
    const auto& before = done->head.pieces;
    const bool same = std::equal(before.begin(), before.end(), pieces.begin(), pieces.end(),
                                 [](const PieceInfo& info, const std::string& id) { return info.piece == id; });
    if (!same) return make_error(ErrorCode::kConflict, doing + ": it exists, and was made of other pieces");
  } else {
    if (done.error().code != ErrorCode::kNotFound) return done.error().with_context(doing);
    CACS_ASSIGN(const auto pass, core_->place.gate->enter(GateMode::kShared, GateWait::kBlock));
    CACS_TRY(core_->store.refresh().context(doing));
    CACS_TRY(core_->store.catalog().load_hooks().context(doing));
    std::uint64_t stored = 0;
    head.pieces.clear();
    for (const auto& id : pieces) {
      auto piece = load_piece(id);
      if (!piece) return piece.error().with_context(doing);
      head.entries.insert(head.entries.end(), piece->entries.begin(), piece->entries.end());
      stored += piece->stored_bytes;
      head.pieces.push_back(std::move(piece->info));
    }
    WorkPool pool(1);
    PackWriter packs(core_->backend(), core_->keys(), core_->store, pool);
    ContentHasher hasher = core_->keys().hasher();
    CACS_TRY(write_manifest(*core_, packs, hasher, std::move(head), stored).context(doing));
  }
  for (const auto& id : pieces) CACS_TRY(drop_piece(id).context(doing));
  return {};
}

Result<std::vector<std::string>> Repository::list_pieces() { return repository::list_pieces(*core_); }

Result<Piece> Repository::load_piece(std::string_view piece) {
  CACS_ASSIGN(PieceDocument document, load_piece_document(*core_, piece));
  auto entries = load_entries(*core_, document.entries, document.entry_count);
  if (!entries) return entries.error().with_context(fmt::format("piece {}", piece));
  document.head.entries = std::move(*entries);
  return std::move(document.head);
}

Status Repository::drop_piece(std::string_view piece) {
  if (!is_uuid(piece)) return make_error(ErrorCode::kInvalidArgument, "a piece's id is a UUID");
  auto status = core_->backend().remove(piece_name(piece));
  if (!status && status.error().code == ErrorCode::kNotFound) return {};
  return status;
}

Status Repository::drop_all_pieces() {
  CACS_ASSIGN(const auto pieces, list_pieces());
  for (const auto& piece : pieces) CACS_TRY(drop_piece(piece));
  return {};
}

// --- checkpoints -----------------------------------------------------------------------------------------------------

Result<std::vector<Summary>> Repository::list() {
  std::vector<Summary> all;
  CACS_TRY(for_each_manifest(*core_, [&](const ListedManifest& manifest) -> Status {
    Summary summary;
    if (manifest.document) {
      summary.head = manifest.document->head;
      summary.entry_count = manifest.document->entry_count;
    } else {
      summary.head.checkpoint = manifest.name.substr(kManifestPrefix.size());
      summary.problem = manifest.document.error();
    }
    all.push_back(std::move(summary));
    return {};
  }));
  std::sort(all.begin(), all.end(),
            [](const Summary& one, const Summary& other) { return one.head.checkpoint < other.head.checkpoint; });
  return all;
}

Result<std::vector<BriefSummary>> Repository::list_brief() { return list_summaries(*core_); }

void Repository::set_further(std::shared_ptr<Further> further) {
  core_->further = std::move(further);
  core_->store.set_elsewhere(core_->further.get());
}

namespace {

Result<ManifestDocument> load_from_any_level(Core& core, std::string_view checkpoint) {
  auto here = load_manifest_document(core, checkpoint);
  if (here || !core.further || here.error().code == ErrorCode::kInvalidArgument) return here;
  auto there = core.further->load_manifest(checkpoint);
  // What a level that does not answer may have is not known to be missing.
  const bool known_missing = !there && there.error().code == ErrorCode::kNotFound;
  return known_missing ? here : there;
}

}  // namespace

Result<Manifest> Repository::load(std::string_view checkpoint) {
  CACS_ASSIGN(ManifestDocument document, load_from_any_level(*core_, checkpoint));
  auto entries = load_entries(*core_, document.entries, document.entry_count);
  if (!entries) return entries.error().with_context(fmt::format("checkpoint {}, its list of entries", checkpoint));
  document.head.entries = std::move(*entries);
  return std::move(document.head);
}

Status Repository::remove(std::string_view checkpoint) {
  const bool by_name = PackId::from_hex(checkpoint).has_value();  // 32 hexadecimal digits
  if (!by_name && !is_uuid(checkpoint)) {
    return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id is a UUID");
  }
  const std::string name =
      by_name ? std::string(kManifestPrefix) + std::string(checkpoint) : manifest_name(core_->keys(), checkpoint);
  CACS_TRY(forget_summary(*core_, name));
  auto status = core_->backend().remove(name);
  if (!status && status.error().code == ErrorCode::kNotFound) {
    return make_error(ErrorCode::kNotFound, fmt::format("there is no checkpoint {}", checkpoint));
  }
  return status;
}

CompressionPolicy& Repository::compression() { return core_->store.compression(); }

std::uint64_t Repository::quarantines() const { return core_->store.quarantines(); }

Result<Stats> Repository::stats() {
  CACS_TRY(core_->store.refresh());
  Stats stats;
  CACS_TRY(core_->backend().list(std::string(kManifestPrefix), [&](const ObjectInfo& /*object*/) -> Status {
    ++stats.checkpoints;
    return {};
  }));
  CACS_ASSIGN(const auto pieces, list_pieces());
  stats.pieces = pieces.size();
  for (const std::uint32_t number : core_->store.catalog().present()) {
    ++stats.packs;
    stats.stored_bytes += core_->store.catalog().pack(number).size;
  }
  stats.index_bytes = core_->store.catalog().memory_bytes();
  return stats;
}

}  // namespace cacs::repository
