#include "agent/checkpoint_store.h"

#include <fcntl.h>

#include <charconv>

#include "base/io.h"
#include "base/text.h"
#include "delta/materialise.h"

namespace cacs::agent {

namespace {

using repository::BlobRef;
using repository::Entry;
using repository::StreamKind;
using repository::Writer;

constexpr std::size_t kMaxListing = std::size_t{1} << 30U;

Result<BlobRef> put_file(Writer& writer, const std::filesystem::path& path, StreamKind kind) {
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  repository::FdSource source(fd.get());
  return writer.put(source, kind);
}

Status put_images(Writer& writer, const std::string& pod, const std::filesystem::path& images,
                  std::vector<Entry>& entries, std::uint64_t& size) {
  std::error_code problem;
  for (const auto& file : std::filesystem::directory_iterator(images, problem)) {
    const std::string name = file.path().filename().string();
    if (!file.is_regular_file() || name == "dump.log" || name.ends_with(".pid")) continue;
    const StreamKind kind = name.starts_with("pages-") ? StreamKind::kMemory : StreamKind::kMetadata;
    CACS_ASSIGN(const BlobRef blob, put_file(writer, file.path(), kind));
    entries.push_back({pod + "/images/" + name, blob});
    size += blob.size;
  }
  if (problem) return errno_error(problem.value(), "list the engine's files in " + images.string());
  return {};
}

Result<delta::Baseline> put_tree(Writer& writer, const std::string& pod, const CapturedTree& tree,
                                 std::vector<Entry>& entries, std::uint64_t& size) {
  // Shared memory changes like memory: page by page, in place.
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

}  // namespace

const BlobRef* find_entry(const repository::Manifest& manifest, const std::string& name) {
  const auto found =
      std::lower_bound(manifest.entries.begin(), manifest.entries.end(), name,
                       [](const Entry& entry, const std::string& wanted) { return entry.name < wanted; });
  return found != manifest.entries.end() && found->name == name ? &found->blob : nullptr;
}

std::string token_of(const BlobRef& blob) { return blob.id.to_hex() + ":" + std::to_string(blob.size); }

Result<BlobRef> blob_of(std::string_view token) {
  BlobRef blob;
  const auto bad = [&] {
    return make_error(ErrorCode::kCorrupt, "'" + printable(token) + "' does not name a stored file");
  };
  if (token.size() < 66 || token[64] != ':') return bad();
  CACS_ASSIGN(blob.id, Digest::from_hex(token.substr(0, 64)));
  const char* end = token.data() + token.size();
  const auto [rest, problem] = std::from_chars(token.data() + 65, end, blob.size);
  if (problem != std::errc{} || rest != end) return bad();
  return blob;
}

Result<std::unique_ptr<CheckpointStore>> CheckpointStore::open(const std::filesystem::path& directory) {
  auto repository = repository::Repository::open(directory);
  if (!repository && repository.error().code == ErrorCode::kNotFound) {
    repository = repository::Repository::create(directory);
  }
  if (!repository) return repository.error().with_context("open the checkpoint repository");
  return std::unique_ptr<CheckpointStore>(new CheckpointStore(*std::move(repository)));
}

Result<StoredPiece> CheckpointStore::store_piece(const std::string& pod, const std::filesystem::path& images,
                                                 const std::vector<CapturedTree>& trees, basefs::Keeper* base,
                                                 const JsonObject& meta, const Progress& progress) {
  CACS_ASSIGN(auto writer, repository_->begin(pod));
  writer->set_progress(progress);
  StoredPiece piece;
  std::vector<Entry> entries;
  CACS_TRY(put_images(*writer, pod, images, entries, piece.size_bytes));
  for (const auto& tree : trees) {
    CACS_ASSIGN(delta::Baseline baseline, put_tree(*writer, pod, tree, entries, piece.size_bytes));
    piece.baselines.push_back(std::move(baseline));
  }
  if (base != nullptr) CACS_TRY(put_base(*writer, pod, *base, entries, piece.size_bytes));
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
    repository::FdSink sink(fd.get());
    CACS_TRY(repository_->read_blob(entry.blob, sink).context("checkpoint " + manifest.checkpoint + ", file " + name));
  }
  if (any) return {};
  return make_error(ErrorCode::kNotFound, "checkpoint " + manifest.checkpoint + " has nothing of " + pod);
}

Status CheckpointStore::fetch_tree(const repository::Manifest& manifest, const std::string& pod,
                                   const std::string& name, const std::filesystem::path& into) {
  const std::string where = "checkpoint " + manifest.checkpoint + ", files of " + pod + " (" + name + ")";
  const BlobRef* blob = find_entry(manifest, pod + "/" + name + ".listing");
  if (blob == nullptr) return {};
  repository::StringSink text(kMaxListing);
  CACS_TRY(repository_->read_blob(*blob, text).context(where));
  auto listing = delta::parse_listing(text.text());
  if (!listing) return listing.error().with_context(where);
  const auto fetch = [&](std::string_view token, int fd, const delta::Entry& entry) -> Status {
    CACS_ASSIGN(const BlobRef content, blob_of(token));
    repository::FdSink sink(fd);
    return repository_->read_blob(content, sink)
        .context("checkpoint " + manifest.checkpoint + ", file /" + printable(entry.path));
  };
  return delta::materialise(*listing, into, fetch).context(where);
}

}  // namespace cacs::agent
