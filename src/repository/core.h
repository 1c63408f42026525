#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "repository/chunk_store.h"
#include "repository/format.h"
#include "repository/pack_writer.h"
#include "repository/backend/storage.h"

namespace cacs::repository {

/// What a handle, its writers and its readers have in common. Any thread.
struct Core {
  explicit Core(std::unique_ptr<Storage> place) : storage(std::move(place)), chunks(*storage) {}

  std::unique_ptr<Storage> storage;
  ChunkStore chunks;
};

/// The whole of a small file; kNotFound when there is none, kCorrupt when it is longer than any document.
Result<std::vector<std::byte>> read_document_file(Storage& storage, const std::string& name);
/// Replaces `name` durably: temporary name, sync, rename, sync of the directory.
Status write_document_file(Storage& storage, std::string_view directory, const std::string& name,
                           std::string_view bytes);
/// Removes a document durably. Syncs the directory also when there is none, so that an earlier removal that was
/// interrupted is durable too; then kNotFound.
Status remove_document_file(Storage& storage, std::string_view directory, const std::string& name);

Result<std::vector<std::string>> list_ids(Storage& storage, std::string_view directory, std::string_view suffix);
Result<ManifestDocument> load_manifest_document(Storage& storage, std::string_view checkpoint);
Result<PieceDocument> load_piece_document(Storage& storage, std::string_view piece);
Result<std::vector<Entry>> load_entries(Core& core, const BlobRef& blob, std::uint64_t count);

/// Removes temporary files. Only with the lock held exclusively.
Status remove_temporaries(Storage& storage);

/// Stores the entries (sorted by name here), publishes the packs, writes the manifest. `head` gets its totals.
Status write_manifest(Core& core, PackWriter& packs, Manifest head, std::uint64_t stored_before);

/// Sorts by name, and refuses names that are empty, too long or there twice.
Status sort_entries(std::vector<Entry>& entries);
/// Stores the list of entries as a blob.
Result<BlobRef> store_entries(Core& core, PackWriter& packs, const std::vector<Entry>& entries);

}  // namespace cacs::repository
