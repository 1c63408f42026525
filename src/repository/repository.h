#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/uuid.h"
#include "repository/codec/compression_policy.h"
#include "repository/compare.h"
#include "repository/core.h"
#include "repository/page_source.h"
#include "repository/stream.h"
#include "repository/types.h"

namespace cacs::repository {

/// One session of storing, made by Repository::begin. While it lives no collection runs. What it stored becomes part of
/// a checkpoint by commit() or of a piece by finish_piece(); what it stored and neither took is garbage, for the next
/// collection. One thread at a time; any number of writers side by side. May outlive the Repository.
class Writer {
 public:
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// Stores the source's bytes up to its end, cut by content: kFile or kMetadata. Chunks already in the repository, and
  /// zeros, take no space.
  Result<BlobRef> put(Source& source, StreamKind kind);
  /// Stores a process's memory: `layout` says at which addresses the source's pages lie. Zero pages take no space, nor
  /// do pages that are as in `parent` (an earlier version of the same memory, or null) at the same address, nor such as
  /// the sparse index finds. Uses all processors.
  Result<BlobRef> put_pages(const PageSource& source, const PageLayout& layout, const BlobRef* parent);
  /// The same for a file that changes in place, as shared memory does: page n of the file is page n.
  Result<BlobRef> put_pages(const PageSource& source, const BlobRef* parent);
  /// Stores `bytes` as kMetadata.
  Result<BlobRef> put_bytes(std::string_view bytes);
  /// Makes a blob of an earlier checkpoint part of this session without reading its bytes. kNotFound when it is not
  /// wholly in the repository any more: then put its bytes.
  Status reuse(const BlobRef& blob);

  /// Is called now and then during put with the bytes taken in so far by this session, holes included.
  void set_progress(std::function<void(std::uint64_t bytes_done)> progress);

  /// Makes a checkpoint of the entries in `manifest`, whose blobs all come from this session. When this returns success
  /// the checkpoint exists and survives power loss; on failure it does not exist, or (a failed sync) may. kConflict
  /// when there is one of this id. Ends the session.
  Status commit(Manifest manifest);
  /// Stores the entries durably as a piece, for Repository::commit_checkpoint; returns its id. Ends the session.
  Result<std::string> finish_piece(std::vector<Entry> entries, JsonObject meta);

  /// Bytes of pack files that this session has written.
  [[nodiscard]] std::uint64_t stored_bytes() const;

 private:
  friend class Repository;
  friend class PieceJoin;
  struct State;
  explicit Writer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Random access to a blob. One thread at a time; may outlive the Repository.
class BlobReader {
 public:
  ~BlobReader();
  BlobReader(const BlobReader&) = delete;
  BlobReader& operator=(const BlobReader&) = delete;

  /// As pread: fills `out` from `offset`, returns fewer bytes only at the end. Every slot touched is verified.
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out);
  [[nodiscard]] std::uint64_t size() const;

 private:
  friend class Repository;
  struct State;
  explicit BlobReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct CollectOptions {
  /// Packs with more than this share of unreachable bytes are written anew without them. 0: nothing unreachable stays.
  double max_garbage = 0.2;
  GateWait wait = GateWait::kBlock;  ///< for writers to end; kFail: kUnavailable instead
  std::stop_token stop = {};         ///< ends that wait: kAborted
};

/// With sessions a pack is condemned by one collection, and removed or written anew by a later one.
struct CollectResult {
  std::size_t packs_removed = 0;  ///< the ones replaced included
  std::size_t packs_written = 0;
  std::size_t packs_condemned = 0;  ///< that wait for a later collection; with sessions only
  std::uint64_t bytes_freed = 0;    ///< files removed less files written
  std::uint64_t bytes_garbage = 0;  ///< unreachable bytes that stay, in packs not worth rewriting
  std::vector<Error> problems;      ///< packs left as they are because bytes in them are damaged
};

struct CheckResult {
  std::vector<Error> problems;  ///< empty: sound
  std::uint64_t slots_read = 0;
};

struct Stats {
  std::size_t checkpoints = 0;
  std::size_t pieces = 0;
  std::size_t packs = 0;
  std::uint64_t stored_bytes = 0;  ///< of all packs
  std::size_t index_bytes = 0;     ///< memory that the sparse index takes
};

/// What can be said of a repository without its keys.
struct Descriptor {
  std::string id;  ///< UUID
  Sealing sealing = Sealing::kNone;
  bool sessions = false;  ///< writers and collectors go by sessions (docs/collection.md), not by a gate
};
/// kNotFound when there is no repository.
Result<Descriptor> read_descriptor(Backend& backend);

/// A versioned store of checkpoints: docs/repository.md. Any thread may make any call; several handles and several
/// processes may have one repository open. Damage is kCorrupt and names pack and slot, or the object.
class Repository {
 public:
  /// Makes a repository where there is none; kConflict when there is one. The keys say how it is sealed. With a gate,
  /// or without, that is, with sessions.
  static Result<std::unique_ptr<Repository>> create(Place place, const std::string& id = new_uuid());
  /// Opens one. kNotFound when there is none; kPermission when the keys are not its own.
  static Result<std::unique_ptr<Repository>> open(Place place);

  ~Repository();
  Repository(const Repository&) = delete;
  Repository& operator=(const Repository&) = delete;

  /// Starts a session. Blocks while a collection runs, where there is a gate. `label` names it: a piece keeps it.
  /// `checkpoint`: the one that it will commit, if that is known: saves a repository with sessions half of the work.
  Result<std::unique_ptr<Writer>> begin(std::string_view label, std::string_view checkpoint = {});

  /// Makes a checkpoint from pieces, then removes them. The entries of all pieces are the checkpoint's; a name in two
  /// of them is kInvalidArgument. `head` has no entries. Repeating a call that had succeeded is success.
  Status commit_checkpoint(Manifest head, const std::vector<std::string>& pieces);
  /// Adds pieces to a checkpoint that is there, and gives it another `meta`; then removes them. Until that is durable
  /// the checkpoint is what it was. Repeating a call that had succeeded is success. The caller keeps a removal of the
  /// checkpoint away. kNotFound: there is none here; kUnsupported with sessions.
  Status extend_checkpoint(std::string_view checkpoint, const std::vector<std::string>& pieces, JsonObject meta);
  Result<std::vector<std::string>> list_pieces();
  Result<Piece> load_piece(std::string_view piece);
  /// Success when there is none.
  Status drop_piece(std::string_view piece);
  Status drop_all_pieces();

  /// All checkpoints, oldest id first. An unreadable manifest is listed with its problem, and its object's name in the
  /// place of the checkpoint's id.
  Result<std::vector<Summary>> list();
  /// The same in short, in no order: 100,000 in less than a second (summaries.h). Damage of a manifest that was listed
  /// before may go unnoticed here.
  Result<std::vector<BriefSummary>> list_brief();
  /// One checkpoint with its entries, also of a further level. kNotFound when there is none.
  Result<Manifest> load(std::string_view checkpoint);
  /// Makes a checkpoint not exist, durably. Its space comes back with collect(). kNotFound when there is none. Takes a
  /// checkpoint's id, or what list() gave in its place for a manifest that cannot be read.
  Status remove(std::string_view checkpoint);

  /// Passes the blob's bytes to `sink` in order, runs of zeros as holes, then finishes it. Every slot is verified
  /// before its bytes are passed.
  Status read_blob(const BlobRef& blob, Sink& sink);
  /// Fills an empty file with the blob, on all processors; zeros stay holes. Every page and chunk is verified.
  Status restore_blob(const BlobRef& blob, int fd);
  Result<std::unique_ptr<BlobReader>> open_reader(const BlobRef& blob);
  /// Where the pages of a page map belong, in the order of the stream; empty: page n of the stream is page n.
  Result<PageLayout> page_layout(const BlobRef& blob);
  /// What compare.h has, of blobs of this repository.
  Result<PageLayout> stored_pages(const BlobRef& blob);
  Status compare_pages(const BlobRef& one, const BlobRef& other, const PageRange& range, const VisitPages& visit);
  Result<FileDifference> compare_files(const BlobRef& one, const BlobRef& other);

  /// Removes what no manifest and no piece reaches. Refuses with kCorrupt, changing nothing, when a manifest, piece or
  /// list cannot be read, or a slot that is needed is missing: remove the checkpoint that it names first.
  Result<CollectResult> collect(const CollectOptions& options = {});
  /// Whether every checkpoint and piece is whole; with `read_data`, every slot of every pack is read and verified.
  Result<CheckResult> check(bool read_data);
  /// Reads all of one checkpoint; kCorrupt names entry, pack and slot. `progress` gets bytes verified.
  Status verify(std::string_view checkpoint, const std::function<void(std::uint64_t bytes_done)>& progress = {});
  Result<Stats> stats();
  /// How what is stored from now on is compressed: learned by all sessions of this handle.
  CompressionPolicy& compression();
  /// From now on what is read and is not here, or damaged here, comes from there; writing, listing and collecting know
  /// this level alone. Before any other call; once.
  void set_further(std::shared_ptr<Further> further);
  /// Whether it is one that several machines write to.
  [[nodiscard]] bool has_sessions() const { return core_->sessions != nullptr; }
  /// What it is made of, for those who copy its objects as they are (levels/).
  [[nodiscard]] Core& core() const { return *core_; }
  /// Rises whenever slots are found damaged and put into quarantine: what was stored before may not be whole.
  [[nodiscard]] std::uint64_t quarantines() const;

 private:
  explicit Repository(std::shared_ptr<Core> core);
  std::shared_ptr<Core> core_;  ///< shared with writers and readers, which may outlive this handle
};

}  // namespace cacs::repository
