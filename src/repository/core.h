#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "repository/backend/backend.h"
#include "repository/chunker.h"
#include "repository/document.h"
#include "repository/gate.h"
#include "repository/keys/tenant_keys.h"
#include "repository/manifest.h"
#include "repository/pack_store.h"
#include "repository/pack_writer.h"
#include "repository/sessions.h"
#include "repository/sizes.h"

namespace cacs::repository {

/// Where a repository is and what opens it.
struct Place {
  std::unique_ptr<Backend> backend;
  TenantKeys keys;
  /// Keeps writers and collector apart. Null: a repository that is made here has sessions instead, for a store that
  /// several machines write to (docs/collection.md). One that was made with sessions has no use for it.
  std::unique_ptr<Gate> gate;
  /// With sessions: the same store without retries and caches; null: `backend` has none.
  std::unique_ptr<Backend> plain = nullptr;
  SessionSettings sessions = {};
  StorageSizes sizes = {};
};

/// Another level of the same repository, asked for what the nearest one has not, or has damaged (levels/). Any thread.
class Further : public SlotSource {
 public:
  /// kNotFound when it is not there either.
  virtual Result<ManifestDocument> load_manifest(std::string_view checkpoint) = 0;
};
class SessionCollector;
struct Hold;

/// What a handle, its writers and its readers have in common. Any thread.
struct Core {
  explicit Core(Place where, bool with_sessions = false);
  ~Core();
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  [[nodiscard]] Backend& backend() const { return *place.backend; }
  [[nodiscard]] const TenantKeys& keys() const { return place.keys; }
  /// Where roots (manifests, pieces) are read, written and removed.
  [[nodiscard]] Backend& roots() const { return sessions ? sessions->backend() : *place.backend; }

  Place place;
  PackStore store;
  GearTable gear;
  std::shared_ptr<Further> further;    ///< null: there is one level
  std::unique_ptr<Sessions> sessions;  ///< null: the gate
  std::mutex collector_mutex;
  std::unique_ptr<SessionCollector> collector;  ///< once this process has collected; with sessions
};

/// The name of a checkpoint's manifest in the store: says nothing without the key. With sessions a dot and 32 digits
/// follow, others for each session.
std::string manifest_name(const TenantKeys& keys, std::string_view checkpoint);

/// By the name of its object.
Result<ManifestDocument> read_manifest(Core& core, const std::string& name);
Result<ManifestDocument> load_manifest_document(Core& core, std::string_view checkpoint);
Result<PieceDocument> load_piece_document(Core& core, std::string_view piece);
Result<std::vector<Entry>> load_entries(Core& core, const BlobRef& blob, std::uint64_t count);

/// A manifest as the store lists it. `problem` is set when it cannot be read.
struct ListedManifest {
  std::string name;  ///< of the object
  Result<ManifestDocument> document;
};
/// Passes every manifest that the store lists (with sessions: that counts); ones that are removed meanwhile are left
/// out.
Status for_each_manifest(Core& core, const std::function<Status(const ListedManifest&)>& visit);
Result<std::vector<std::string>> list_pieces(Core& core);
/// The names of a checkpoint's manifests: with sessions there may be several, for a commit that was repeated when the
/// first one's fate was not known. Empty: there is none.
Result<std::vector<std::string>> find_manifests(Core& core, std::string_view checkpoint);

/// Stores the list of entries as a blob.
Result<BlobRef> store_entries(Core& core, PackWriter& packs, ContentHasher& hasher, const std::vector<Entry>& entries);
/// Stores the entries (sorted by name here), finishes the packs, writes the manifest. `head` gets its totals. Ends the
/// hold when it succeeds. kConflict with Overwrite::kNo where there is one of the checkpoint.
Status write_manifest(Core& core, Hold& hold, PackWriter& packs, ContentHasher& hasher, Manifest head,
                      std::uint64_t stored_before, Overwrite overwrite = Overwrite::kNo);

}  // namespace cacs::repository
