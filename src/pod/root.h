#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/engine.h"
#include "pod/layout.h"
#include "pod/spec.h"

namespace cacs::pod {

/// The pod's file systems as the shim sees them, in its own mount namespace: when the shim and the pod are gone, so are
/// they. Nothing here changes the machine's own mounts.
///
/// Leaves the machine's mount namespace for a private one, with a tmpfs on /run (CRIU keeps its probe of the kernel
/// there). Once in the shim's life, before anything is mounted.
Status enter_private_mounts();

/// The tmpfs that will be the pod's /dev and /dev/shm. Before the delta is filled, so that shared memory can be.
Status mount_pod_tmpfs(const PodLayout& layout, const PodSpec& spec);

/// The overlay: lower is the base, upper the delta, which must be complete by now.
Status mount_pod_root(const PodLayout& layout, const PodSpec& spec);

/// Everything the engine must treat as external: /dev, /dev/shm and the user's mounts.
std::vector<engine::ExternalMount> external_mounts(const PodLayout& layout, const PodSpec& spec);

/// In pid 1 of the pod's new namespaces, before it is executed: makes `layout.merged()` the root and mounts what a
/// program expects. Returns what failed.
Status enter_pod_root(const PodLayout& layout, const PodSpec& spec);

/// What CACS puts into the delta of a pod that starts from nothing: /.cacs with init, /etc/hosts, resolv.conf, the
/// files of the ASR. `init_program` is copied, so that the pod keeps the init that it started with through every
/// restore.
Status fill_new_delta(const PodLayout& layout, const PodSpec& spec, const std::filesystem::path& init_program);

/// Hides a directory of the host with everything in it: a pod never sees keys, sockets or other pods. Before the
/// overlay is mounted, at a start and at a restore alike, because the directory may be another one there.
Status mask_directory(const PodLayout& layout, const std::filesystem::path& directory);

/// Writes what tells a restored init that it was restored. Before the engine runs.
Status write_incarnation(const PodLayout& layout, const PodSpec& spec);

}  // namespace cacs::pod
