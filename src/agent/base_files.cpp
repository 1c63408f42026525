// The base's files in checkpoints: their record and contents on the way in, and at a restore what the base has no more.

#include <unordered_map>

#include "agent/checkpoint_store.h"
#include "base/log.h"
#include "base/text.h"
#include "basefs/overlay.h"
#include "transfer/tokens.h"

namespace cacs::agent {

namespace {

using basefs::Match;
using basefs::Record;
using repository::BlobRef;
using transfer::blob_of;
using transfer::find_entry;
using transfer::token_of;

constexpr const char* kBase = "/";
constexpr std::size_t kMaxListing = std::size_t{1} << 30U;

Result<BlobRef> put_content(repository::Writer& writer, const basefs::Keeper& base, const basefs::Entry& entry) {
  if (!entry.token.empty()) {
    CACS_ASSIGN(const BlobRef stored, blob_of(entry.token));
    const auto reused = writer.reuse(stored);
    if (reused) return stored;
    if (reused.error().code != ErrorCode::kNotFound) return reused.error();
  }
  CACS_ASSIGN(const UniqueFd content, base.content(entry.digest));
  repository::FdSource source(content.get());
  return writer.put(source, repository::StreamKind::kFile);
}

Error base_changed(const std::vector<std::string>& paths) {
  std::string names;
  for (std::size_t i = 0; i < paths.size() && i < 5; ++i) names += (i == 0 ? "" : ", ") + printable(paths[i]);
  if (paths.size() > 5) names += " and " + std::to_string(paths.size() - 5) + " more";
  return make_error(ErrorCode::kConflict,
                    "the program depends on files of this machine that are not what they were, and the checkpoint has "
                    "no copy of them: " +
                        names,
                    "put back the versions that the program used, or restore on a machine that has them")
      .with_type("base-changed");
}

/// Whether a delta has a name of its own at the path, or covers a directory above it. As basefs::hidden_by for a delta
/// that is not on the disk yet.
class DeltaNames {
 public:
  explicit DeltaNames(const delta::Listing& listing) {
    for (const auto& entry : listing.entries) entries_[entry.path] = &entry;
  }
  [[nodiscard]] bool hides(const std::string& path) const {
    std::filesystem::path current;
    for (const auto& part : std::filesystem::path(path).relative_path()) {
      current /= part;
      const auto found = entries_.find(current.native());
      if (found == entries_.end()) return false;
      if (found->second->type != delta::EntryType::kDirectory) return true;
      for (const auto& attribute : found->second->xattrs) {
        if (attribute.name == "trusted.overlay.opaque" && attribute.value == "y") return true;
      }
    }
    return true;
  }

 private:
  std::unordered_map<std::string, const delta::Entry*> entries_;
};

/// What only the base can give, and does not.
Result<std::vector<std::string>> missing_files(const Record& record) {
  std::vector<std::string> missing;
  for (const auto& [path, entry] : record.entries) {
    if (entry.link || entry.saved || !entry.opened) continue;
    CACS_ASSIGN(const Match match, basefs::compare(kBase, entry));
    if (match == Match::kDiffers) missing.push_back(path);
  }
  return missing;
}

}  // namespace

Status put_base(repository::Writer& writer, const std::string& pod, basefs::Keeper& base,
                std::vector<repository::Entry>& entries, std::uint64_t& size) {
  Record record = base.view();
  std::map<std::string, std::string> tokens;
  for (auto& [path, entry] : record.entries) {
    if (entry.link) continue;
    const auto known = tokens.find(entry.digest);
    if (known != tokens.end()) {
      entry.token = known->second;
      entry.saved = true;
      continue;
    }
    if (entry.digest.empty() || (!entry.saved && entry.token.empty())) continue;
    auto blob = put_content(writer, base, entry);
    if (!blob && blob.error().code != ErrorCode::kNotFound) {
      return blob.error().with_context("store " + printable(path) + " of the base");
    }
    entry.saved = blob.ok();
    entry.token = blob ? token_of(*blob) : "";
    if (!blob) continue;
    entries.push_back({pod + "/base/" + std::to_string(tokens.size()), *blob});
    size += blob->size;
    tokens[entry.digest] = entry.token;
  }
  CACS_ASSIGN(const BlobRef text, writer.put_bytes(basefs::serialise(record)));
  entries.push_back({pod + "/base.record", text});
  // Should the piece come to nothing, so do its blobs: the next reuse() says so, and the content is put again.
  base.remember_tokens(tokens);
  return {};
}

Result<Record> CheckpointStore::base_record(const repository::Manifest& manifest, const std::string& pod) {
  const BlobRef* blob = find_entry(manifest, pod + "/base.record");
  if (blob == nullptr) return Record{};
  repository::StringSink text(basefs::kMaxRecordBytes);
  CACS_TRY(repository_->read_blob(*blob, text).context("checkpoint " + manifest.checkpoint));
  return basefs::parse_record(text.text()).context("checkpoint " + manifest.checkpoint);
}

Status CheckpointStore::check_base(const repository::Manifest& manifest, const std::string& pod) {
  CACS_ASSIGN(const Record record, base_record(manifest, pod));
  CACS_ASSIGN(std::vector<std::string> missing, missing_files(record));
  if (missing.empty()) return {};
  const BlobRef* blob = find_entry(manifest, pod + "/delta.listing");
  if (blob != nullptr) {
    repository::StringSink text(kMaxListing);
    CACS_TRY(repository_->read_blob(*blob, text).context("checkpoint " + manifest.checkpoint));
    CACS_ASSIGN(const delta::Listing listing, delta::parse_listing(text.text()));
    const DeltaNames names(listing);
    std::erase_if(missing, [&](const std::string& path) { return names.hides(path); });
  }
  return missing.empty() ? ok_status() : Status(base_changed(missing));
}

Status CheckpointStore::serve_base(const Record& record, const std::filesystem::path& upper) {
  std::vector<std::string> missing;
  std::size_t served = 0;
  for (const auto& named : record.entries) {
    const std::string& path = named.first;
    const auto& entry = named.second;
    CACS_ASSIGN(const Match match, basefs::compare(kBase, entry));
    if (match != Match::kDiffers || basefs::hidden_by(upper, path)) continue;
    if (!entry.link && !entry.saved) {
      // What was merely near something that was opened is no reason to refuse.
      if (entry.opened) missing.push_back(path);
      continue;
    }
    const auto fill = [&](int fd) -> Status {
      CACS_ASSIGN(const BlobRef content, blob_of(entry.token));
      return repository_->restore_blob(content, fd);
    };
    CACS_TRY(basefs::serve(kBase, upper, entry, fill).context("serve the recorded version of a file of the base"));
    ++served;
  }
  if (!missing.empty()) return base_changed(missing);
  if (served > 0) spdlog::info("base: {} files changed on the host; the program gets its versions", served);
  return {};
}

}  // namespace cacs::agent
