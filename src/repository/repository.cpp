#include "repository/repository.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/layout.h"
#include "repository/pieces.h"
#include "repository/summaries.h"
#include "repository/writer_state.h"

namespace cacs::repository {

namespace {

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
  if (json->contains("sessions")) {
    CACS_ASSIGN(descriptor.sessions, json_bool(*json, "sessions"));
  }
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
  const bool sessions = place.gate == nullptr;
  JsonObject body{{"repository", id}, {"sealing", static_cast<int>(place.keys.sealing())}};
  if (sessions) body["sessions"] = true;
  CACS_TRY(store_document(backend, DocumentKind::kRepository, descriptor_keys(), std::string(kDescriptorName), body,
                          Overwrite::kNo, sessions ? kSessionDocumentVersion : kDocumentVersion)
               .context(doing));
  return open(std::move(place));
}

Result<std::unique_ptr<Repository>> Repository::open(Place place) {
  CACS_ASSIGN(const Descriptor descriptor, read_descriptor(*place.backend));
  const std::string doing = "open the repository in " + place.backend->describe();
  CACS_TRY(check_sizes(place.sizes).context(doing));
  if (descriptor.sealing != place.keys.sealing()) {
    return make_error(ErrorCode::kPermission, doing + ": these are not its keys", "use the key that it was made with");
  }
  if (!descriptor.sessions && place.gate == nullptr) {
    return make_error(ErrorCode::kInvalidArgument, doing + ": it was made for a gate, and none was given");
  }
  auto core = std::make_shared<Core>(std::move(place), descriptor.sessions);
  if (core->sessions) {
    if (const auto view = core->sessions->view(); !view) return view.error().with_context(doing);
  }
  CACS_TRY(core->store.refresh().context(doing));
  return std::unique_ptr<Repository>(new Repository(std::move(core)));
}

Result<std::unique_ptr<Writer>> Repository::begin(std::string_view label, std::string_view checkpoint) {
  CACS_ASSIGN(Hold hold, hold_for_writing(*core_, checkpoint));
  auto state = std::make_unique<Writer::State>(core_, std::move(hold), label);
  return std::unique_ptr<Writer>(new Writer(std::move(state)));
}

// --- pieces ----------------------------------------------------------------------------------------------------------

Status Repository::commit_checkpoint(Manifest head, const std::vector<std::string>& pieces) {
  const std::string doing = fmt::format("commit checkpoint {}", head.checkpoint);
  if (!head.entries.empty()) return make_error(ErrorCode::kInvalidArgument, doing + ": the head must have no entries");
  return commit_pieces(core_, std::move(head), pieces, NamePieces::kYes).context(doing);
}

Status Repository::extend_checkpoint(std::string_view checkpoint, const std::vector<std::string>& pieces,
                                     JsonObject meta) {
  return extend_by_pieces(core_, checkpoint, pieces, std::move(meta))
      .context(fmt::format("extend checkpoint {}", checkpoint));
}

Result<std::vector<std::string>> Repository::list_pieces() { return repository::list_pieces(*core_); }

Result<Piece> Repository::load_piece(std::string_view piece) { return repository::load_piece(*core_, piece); }

Status Repository::drop_piece(std::string_view piece) { return repository::drop_piece(*core_, piece); }

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

Result<std::vector<BriefSummary>> Repository::list_brief() {
  if (!core_->sessions) return list_summaries(*core_);
  // Summaries go by listings. With sessions every manifest is read, to see whether it counts.
  CACS_ASSIGN(const auto all, list());
  std::vector<BriefSummary> brief;
  brief.reserve(all.size());
  for (const auto& each : all) {
    brief.push_back({.checkpoint = each.head.checkpoint,
                     .application = each.head.application,
                     .created_at = each.head.created_at,
                     .incarnation = each.head.incarnation,
                     .size_bytes = each.head.size_bytes,
                     .stored_bytes = each.head.stored_bytes,
                     .entry_count = each.entry_count,
                     .problem = each.problem});
  }
  return brief;
}

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
  // As list() names one that cannot be read: 32 hexadecimal digits, with sessions a dot and as many again.
  const auto dot = checkpoint.find('.');
  const bool by_name = PackId::from_hex(checkpoint.substr(0, dot)).has_value() &&
                       (dot == std::string_view::npos || PackId::from_hex(checkpoint.substr(dot + 1)).has_value());
  if (!by_name && !is_uuid(checkpoint)) {
    return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id is a UUID");
  }
  std::vector<std::string> names = {by_name ? std::string(kManifestPrefix) + std::string(checkpoint)
                                            : manifest_name(core_->keys(), checkpoint)};
  if (core_->sessions && !by_name) {
    CACS_ASSIGN(names, find_manifests(*core_, checkpoint));
  }
  bool found = false;
  for (const auto& name : names) {
    if (!core_->sessions) CACS_TRY(forget_summary(*core_, name));
    auto status = core_->roots().remove(name);
    if (!status && status.error().code != ErrorCode::kNotFound) return status;
    found = found || status.ok();
  }
  if (!found) return make_error(ErrorCode::kNotFound, fmt::format("there is no checkpoint {}", checkpoint));
  return {};
}

CompressionPolicy& Repository::compression() { return core_->store.compression(); }

std::uint64_t Repository::quarantines() const { return core_->store.quarantines(); }

Result<Stats> Repository::stats() {
  CACS_TRY(core_->store.refresh());
  Stats stats;
  if (core_->sessions) {
    CACS_ASSIGN(const auto checkpoints, list());
    stats.checkpoints = checkpoints.size();
  } else {
    CACS_TRY(core_->backend().list(std::string(kManifestPrefix), [&](const ObjectInfo& /*object*/) -> Status {
      ++stats.checkpoints;
      return {};
    }));
  }
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
