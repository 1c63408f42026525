#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "repository/backend/backend.h"
#include "repository/backend/storage.h"

namespace cacs::repository {

enum class Durability {
  kFull,  ///< what Backend promises
  /// For caches: a process that is killed leaves nothing half written, but a power loss may leave any bytes under any
  /// name. Whoever reads has to check what he reads.
  kUntilPowerLoss,
};

/// Whose temporary files remove_stale_temporaries() may remove from a file system that several hosts have mounted.
enum class StaleOf {
  kThisHost,
  /// For the collector, if its protocol says that no other host writes: kernels of network file systems need not pass
  /// locks on, so that the lock alone says nothing of other hosts' processes.
  kAllHosts,
};

struct FileBackendOptions {
  Durability durability = Durability::kFull;
  /// Names under which no other bytes will ever stand. On file systems that several hosts have mounted, descriptors
  /// are kept open for these alone: elsewhere it is seen whether a name was taken over. Null: none.
  std::function<bool(const std::string&)> never_replaced;
};

/// Objects as files, one each, in the directories that their names name.
///
/// **Writing.** The bytes go to `tmp.BOOT.UUID~` beside the name ("~" is in no object's name) and are synced; an fsync
/// that failed is never repeated: the object was not written. Then
/// - Overwrite::kNo: link(2) to the name, fsync of the directory, removal of the temporary name. link is what all file
///   systems make exclusive, NFS servers and cluster file systems too, where renameat2(RENAME_NOREPLACE) is either
///   refused (NFS) or checked on this host alone. Where there are no hard links (FAT) it is renameat2: these are local.
/// - Overwrite::kYes: rename(2), fsync of the directory.
///
/// **What was seen is durable.** While its name may still be lost in a power loss, an object has two names: the
/// temporary one goes after the fsync of the directory (kYes makes a second temporary name for it). Whoever comes upon
/// an object with more than one name, reading, listing, or refused by it, first syncs the directory himself. So nobody
/// builds on an object that vanishes. Hard links made by others (cp -l) only cost these syncs.
///
/// **After a crash** there may be temporaries; one with two names is a whole object and its second name, of which only
/// the temporary one is ever removed. A temporary is locked (flock) as long as its writer lives, in whichever container
/// of the host; remove_stale_temporaries() removes those that are not. Where an object's temporary is removed under a
/// living writer all the same, its commit fails and harms nothing.
///
/// Up to 32 descriptors stay open for random reads. Directories are made on demand and stay. An object's name may not
/// be the directory of another's: kConflict or kNotFound.
class FileBackend : public Backend {
 public:
  /// Removes what crashed writers left behind; returns how many. On file systems of this host alone: all that no living
  /// process has. On others (in doubt: others): those that processes of this boot of this host made, with kAllHosts all
  /// that no living process is seen to have.
  virtual Result<std::uint64_t> remove_stale_temporaries(StaleOf whose) = 0;
};

std::unique_ptr<FileBackend> make_file_backend(std::unique_ptr<Storage> storage, FileBackendOptions options = {});

/// Whether a file's name (its last component) is one that a writer of a FileBackend gives before it commits.
bool is_temporary_name(std::string_view name);

}  // namespace cacs::repository
