#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "repository/repository.h"
#include "transfer/archive.h"
#include "transfer/records.h"

/// A checkpoint as one stream of bytes that needs nothing else, and back: docs/export-format.md.
namespace cacs::transfer {

/// Gets bytes of content done, now and then.
using TransferProgress = std::function<void(std::uint64_t bytes_done)>;

/// Writes all of a checkpoint, or what it has of one pod. The bytes depend on what is in it alone, not on where and how
/// it is stored. In memory: a pod's listing, a few MiB. kNotFound where there is no such checkpoint, or nothing of the
/// pod in it.
Status export_records(repository::Repository& repository, std::string_view checkpoint, RecordWriter& out,
                      const TransferProgress& progress = {}, std::string_view pod = {});

struct Imported {
  std::string checkpoint;
  std::uint64_t size_bytes = 0;
  std::uint64_t stored_bytes = 0;  ///< that the repository did not have
};
/// Stores it as any checkpoint is: what the repository has already takes no space. kConflict when it has this very
/// checkpoint; kCorrupt for what is no sound export. On failure there is no checkpoint, and what was stored of it goes
/// with the next collection. In memory: the lists of pages of one process, a pod's listing, 8 MiB.
Result<Imported> import_records(repository::Repository& repository, RecordReader& in,
                                const TransferProgress& progress = {});

struct ImportedPiece {
  repository::Manifest head;  ///< of the checkpoint that was exported, without entries and pieces
  std::string piece;          ///< to be committed, or dropped
};
/// Stores what a checkpoint has of one pod as a piece (Repository::commit_checkpoint, extend_checkpoint). kCorrupt also
/// where the export is not of `checkpoint` and of this pod alone.
Result<ImportedPiece> import_pod(repository::Repository& repository, RecordReader& in, std::string_view checkpoint,
                                 std::string_view pod);

}  // namespace cacs::transfer
