#pragma once

#include "inspect/catalogue.h"
#include "inspect/mount.h"

namespace cacs::inspect {

/// Mounts the catalogue, calls `mounted`, and answers until the mount is gone or broken off. `source` names the mount
/// in the system's list. Threads of libfuse's call `report`.
Status serve_files(Catalogue& catalogue, const MountOptions& options, const std::string& source,
                   const ReportProblem& report, const std::function<void()>& mounted);

}  // namespace cacs::inspect
