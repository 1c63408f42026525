#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "repository/repository.h"

namespace cacs::inspect {

/// Is told of everything that a reader of the mount got an error for, by path; any thread.
using ReportProblem = std::function<void(const std::string& path, const Error& error)>;

/// The checkpoints of a repository as directories of a file system, read-only, each as CheckpointTree has it:
///
///   by-id/CHECKPOINT/...
///   by-application/APPLICATION/CHECKPOINT/...
///   by-application/APPLICATION/latest    a link to the newest
///
/// What is damaged reads as EIO; a name that cannot be used as one is left out. The lists of checkpoints are at most
/// kListAge old. At most kOpenTrees checkpoints are held in memory beside those whose files are open.
///
/// The file system is served by a process of its own, while this one watches over it: should the server die, whatever
/// of, the mount is taken away; should this process die, the server takes it away. So there is never a mount that
/// nobody answers for, unless both are killed at the same instant.
struct MountOptions {
  std::filesystem::path mountpoint;  ///< an empty directory
  bool allow_other = false;          ///< to other users; the owners and modes of files then count for them
};

/// Whether this machine can do it: kUnsupported says what to do.
Status check_fuse();

/// Mounts, calls `mounted`, serves, and returns when the mount is gone: taken away by umount(8), or by us, because
/// SIGINT, SIGTERM or SIGHUP came. Forks: call it with one thread only. Errors: kUnsupported without FUSE;
/// kConflict when something is in the directory or mounted there already.
Status serve_mount(repository::Repository& repository, const MountOptions& options, const ReportProblem& report,
                   const std::function<void()>& mounted);

}  // namespace cacs::inspect
