#pragma once

#include "base/process.h"
#include "base/result.h"
#include "pod/cgroup.h"
#include "pod/layout.h"
#include "pod/spec.h"

namespace cacs::pod {

/// Starts pid 1 of a pod in new pid, mount, ipc, uts and time namespaces, in the network namespace given, in the pod's
/// control groups, with a container's capabilities less NET_RAW and MKNOD, and executes the pod's init. It is a child
/// of the calling process, which must have one thread. Everything up to the execution is checked: what fails is an
/// error here.
Result<pid_t> launch_init(const PodLayout& layout, const PodSpec& spec, const PodCgroup& cgroup, int network_fd);

}  // namespace cacs::pod
