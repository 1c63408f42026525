#include "agent/checkpoint_store.h"

#include <fcntl.h>

#include "base/io.h"
#include "base/text.h"
#include "delta/materialise.h"
#include "engine/criu_pagemap.h"
#include "repository/keys/key_file.h"
#include "repository/unlock.h"
#include "transfer/tokens.h"

namespace cacs::agent {

namespace {

using repository::BlobRef;
using repository::Entry;
using repository::StreamKind;
using repository::Writer;
using transfer::blob_of;
using transfer::find_entry;
using transfer::token_of;

constexpr std::size_t kMaxListing = std::size_t{1} << 30U;

Result<BlobRef> put_file(Writer& writer, const std::filesystem::path& path, StreamKind kind) {
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  // Memory that is a file changes like memory: page by page, in place.
  if (kind == StreamKind::kMemory) return writer.put_pages(repository::FdPageSource(fd.get()), nullptr);
  repository::FdSource source(fd.get());
  return writer.put(source, kind);
}

/// Whose memory it is, in words that stay the same from one dump to the next.
std::string owner_of(const engine::PageMapOf& map) {
  switch (map.kind) {
    case engine::PagesOf::kTask:
      return "task " + std::to_string(map.id);
    case engine::PagesOf::kSharedMemory:
      return "shared " + std::to_string(map.id);
    case engine::PagesOf::kMemfd:
      return "memfd " + map.name;
  }
  return {};
}

/// Memory goes by address: a page is compared with the one that lay there in the last checkpoint.
Result<BlobRef> put_memory(Writer& writer, const std::filesystem::path& path, const engine::PageMapOf& map,
                           const StoredMemory& last, StoredMemory& now) {
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  repository::PageLayout layout;
  for (const auto& extent : map.map.extents) {
    layout.push_back({.page = extent.address / engine::kPageBytes, .count = extent.pages});
  }
  const std::string owner = owner_of(map);
  const auto before = last.find(owner);
  CACS_ASSIGN(const BlobRef blob, writer.put_pages(repository::FdPageSource(fd.get()), layout,
                                                   before == last.end() ? nullptr : &before->second));
  now[owner] = blob;
  return blob;
}

Status put_images(Writer& writer, const std::string& pod, const CheckpointStore::PieceSource& from,
                  std::vector<Entry>& entries, StoredPiece& piece) {
  CACS_ASSIGN(const auto maps, engine::list_page_maps(from.images));
  std::error_code problem;
  for (const auto& file : std::filesystem::directory_iterator(from.images, problem)) {
    const std::string name = file.path().filename().string();
    if (!file.is_regular_file() || name == "dump.log" || name.ends_with(".pid")) continue;
    const auto map = maps.find(name);
    auto blob = map == maps.end() ? put_file(writer, file.path(), StreamKind::kMetadata)
                                  : put_memory(writer, file.path(), map->second, from.last_memory, piece.memory);
    if (!blob) return blob.error().with_context("the engine's file " + name);
    entries.push_back({pod + "/images/" + name, *blob});
    piece.size_bytes += blob->size;
  }
  if (problem) return errno_error(problem.value(), "list the engine's files in " + from.images.string());
  return {};
}

Result<delta::Baseline> put_tree(Writer& writer, const std::string& pod, const CapturedTree& tree,
                                 std::vector<Entry>& entries, std::uint64_t& size) {
  const StreamKind kind = tree.name == kSharedMemoryTree ? StreamKind::kMemory : StreamKind::kFile;
  std::vector<std::string> tokens;
  tokens.reserve(tree.snapshot.files().size());
  for (const auto& file : tree.snapshot.files()) {
    BlobRef blob;
    if (file.changed()) {
      CACS_ASSIGN(blob, put_file(writer, file.staged, kind));
    } else {
      CACS_ASSIGN(blob, blob_of(file.token));
      CACS_TRY(writer.reuse(blob));
    }
    entries.push_back({pod + "/" + tree.name + "/" + std::to_string(tokens.size()), blob});
    size += blob.size;
    tokens.push_back(token_of(blob));
  }
  CACS_ASSIGN(delta::Baseline baseline, delta::next_baseline(tree.snapshot, tokens));
  CACS_ASSIGN(const BlobRef listing, writer.put_bytes(delta::serialise(baseline.listing)));
  entries.push_back({pod + "/" + tree.name + ".listing", listing});
  return baseline;
}

/// A directory that was lost is another level of what is at the remote one, not the beginning of something new.
Status take_up(const std::filesystem::path& directory, const std::filesystem::path& key_file,
               const repository::RemotePlace& remote) {
  CACS_ASSIGN(const auto local, repository::local_place(directory));
  const auto here = repository::read_descriptor(*local.backend);
  if (here || here.error().code != ErrorCode::kNotFound) return here ? Status() : Status(here.error());
  auto connected = remote.connect();
  if (!connected) {
    return connected.error()
        .with_context("look whether the remote level " + remote.name + " has the checkpoints of this node")
        .with_hint("a node without a repository asks there before it makes one: make it answer, or start without it");
  }
  const std::shared_ptr<repository::Backend> store = *std::move(connected);
  const Status adopted = repository::adopt_repository(*local.backend, store, [&]() -> Result<repository::Credential> {
    CACS_ASSIGN(const repository::SecretKey key, repository::read_key_file(key_file));
    return repository::Credential(key);
  });
  if (adopted) return {};
  return adopted.error().with_hint("put back the key file " + key_file.string() +
                                   " of the repository that is there, or give another place");
}

}  // namespace

Result<std::unique_ptr<CheckpointStore>> CheckpointStore::open(const std::filesystem::path& directory,
                                                               const std::optional<repository::RemotePlace>& remote) {
  const std::filesystem::path key_file = directory.string() + ".key";
  if (remote) CACS_TRY(take_up(directory, key_file, *remote));
  auto repository = repository::open_or_create_local(directory, key_file);
  if (!repository) return repository.error().with_context("open the checkpoint repository");
  std::unique_ptr<CheckpointStore> store(new CheckpointStore(*std::move(repository)));
  std::shared_ptr<repository::RemoteLevel> level;
  if (remote) {
    level = std::make_shared<repository::RemoteLevel>(store->repository_->core(), *remote);
    store->repository_->set_further(level);
  }
  store->levels_ = std::make_unique<repository::Levels>(*store->repository_, std::move(level));
  return store;
}

Result<StoredPiece> CheckpointStore::store_piece(const std::string& pod, const PieceSource& source,
                                                 const JsonObject& meta, const Progress& progress) {
  CACS_ASSIGN(auto writer, repository_->begin(pod));
  writer->set_progress(progress);
  StoredPiece piece;
  std::vector<Entry> entries;
  CACS_TRY(put_images(*writer, pod, source, entries, piece));
  for (const auto& tree : source.trees) {
    CACS_ASSIGN(delta::Baseline baseline, put_tree(*writer, pod, tree, entries, piece.size_bytes));
    piece.baselines.push_back(std::move(baseline));
  }
  if (source.base != nullptr) CACS_TRY(put_base(*writer, pod, *source.base, entries, piece.size_bytes));
  CACS_ASSIGN(piece.id, writer->finish_piece(std::move(entries), meta));
  piece.stored_bytes = writer->stored_bytes();
  return piece;
}

Status CheckpointStore::fetch_images(const repository::Manifest& manifest, const std::string& pod,
                                     const std::filesystem::path& into) {
  const std::string prefix = pod + "/images/";
  bool any = false;
  for (const auto& entry : manifest.entries) {
    if (!entry.name.starts_with(prefix)) continue;
    const std::string name = entry.name.substr(prefix.size());
    if (name.find('/') != std::string::npos || name.empty() || name == "." || name == "..") {
      return make_error(ErrorCode::kCorrupt,
                        "checkpoint " + manifest.checkpoint + " names a file '" + printable(name) + "'");
    }
    any = true;
    CACS_ASSIGN(const UniqueFd fd, open_file(into / name, O_WRONLY | O_CREAT | O_EXCL, 0600));
    CACS_TRY(repository_->restore_blob(entry.blob, fd.get())
                 .context("checkpoint " + manifest.checkpoint + ", file " + name));
  }
  if (any) return {};
  return make_error(ErrorCode::kNotFound, "checkpoint " + manifest.checkpoint + " has nothing of " + pod);
}

/// What a user knows the entry as.
std::string CheckpointStore::describe(const repository::Manifest& manifest, const Entry& entry) {
  const std::string_view name = entry.name;
  const std::size_t first = name.find('/');
  const std::size_t second = name.find('/', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return entry.name;
  const std::string pod(name.substr(0, first));
  const std::string tree(name.substr(first + 1, second - first - 1));
  if (tree == "images") return "image " + std::string(name.substr(second + 1)) + " of " + pod;
  const std::string token = token_of(entry.blob);
  if (tree == "base") {
    const auto record = base_record(manifest, pod);
    if (!record) return entry.name;
    for (const auto& [path, file] : record->entries) {
      if (file.token == token) return "file " + printable(path) + " of the base of " + pod;
    }
    return entry.name;
  }
  const auto listing = load_listing(manifest, pod, tree);
  if (!listing) return entry.name;
  for (const auto& file : listing->entries) {
    if (file.token == token) return "file /" + printable(file.path) + " of " + pod + " (" + tree + ")";
  }
  return entry.name;
}

Status CheckpointStore::verify(const repository::Manifest& manifest) {
  for (const auto& entry : manifest.entries) {
    repository::NullSink sink;
    const Status status = repository_->read_blob(entry.blob, sink);
    if (!status) {
      return status.error().with_context("checkpoint " + manifest.checkpoint + ", " + describe(manifest, entry));
    }
  }
  return {};
}

Result<delta::Listing> CheckpointStore::load_listing(const repository::Manifest& manifest, const std::string& pod,
                                                     const std::string& name) {
  const BlobRef* blob = find_entry(manifest, pod + "/" + name + ".listing");
  if (blob == nullptr) return delta::Listing{};
  repository::StringSink text(kMaxListing);
  CACS_TRY(repository_->read_blob(*blob, text));
  return delta::parse_listing(text.text());
}

Result<std::string> CheckpointStore::read_file(const repository::Manifest& manifest, const std::string& pod,
                                               std::string_view path, const FileRange& range, std::uint64_t& size) {
  const std::string where = "checkpoint " + manifest.checkpoint + ", file /" + printable(path) + " of " + pod;
  auto listing = load_listing(manifest, pod, "delta");
  if (!listing) return listing.error().with_context(where);
  size = 0;
  const auto entry = std::find_if(listing->entries.begin(), listing->entries.end(), [&](const delta::Entry& each) {
    return each.path == path && each.type == delta::EntryType::kRegular;
  });
  if (entry == listing->entries.end() || entry->token.empty()) return std::string();
  CACS_ASSIGN(const BlobRef content, blob_of(entry->token));
  size = content.size;
  if (range.offset >= size) return std::string();
  auto reader = repository_->open_reader(content);
  if (!reader) return reader.error().with_context(where);
  std::string data(std::min<std::uint64_t>(range.limit, size - range.offset), '\0');
  const auto got = (*reader)->read_at(range.offset, std::as_writable_bytes(std::span(data)));
  if (!got) return got.error().with_context(where);
  data.resize(*got);
  return data;
}

Status CheckpointStore::fetch_tree(const repository::Manifest& manifest, const std::string& pod,
                                   const std::string& name, const std::filesystem::path& into) {
  const std::string where = "checkpoint " + manifest.checkpoint + ", files of " + pod + " (" + name + ")";
  if (find_entry(manifest, pod + "/" + name + ".listing") == nullptr) return {};
  const auto listing = load_listing(manifest, pod, name);
  if (!listing) return listing.error().with_context(where);
  const auto fetch = [&](std::string_view token, int fd, const delta::Entry& entry) -> Status {
    CACS_ASSIGN(const BlobRef content, blob_of(token));
    return repository_->restore_blob(content, fd)
        .context("checkpoint " + manifest.checkpoint + ", file /" + printable(entry.path));
  };
  return delta::materialise(*listing, into, fetch).context(where);
}

}  // namespace cacs::agent
