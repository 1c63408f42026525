#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "inspect/archive.h"
#include "inspect/records.h"
#include "repository/repository.h"

/// A checkpoint as one stream of bytes that needs nothing else, and back: docs/export-format.md.
namespace cacs::inspect {

/// Gets bytes of content done, now and then.
using TransferProgress = std::function<void(std::uint64_t bytes_done)>;

/// Writes all of a checkpoint. The bytes depend on what is in it alone, not on where and how it is stored. In memory:
/// a pod's listing, a few MiB.
Status export_records(repository::Repository& repository, std::string_view checkpoint, RecordWriter& out,
                      const TransferProgress& progress = {});

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

}  // namespace cacs::inspect
