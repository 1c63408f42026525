#pragma once

#include "inspect/diff.h"
#include "inspect/memory.h"

namespace cacs::inspect {

/// The part of diff_trees() for the memory of a pod: either may be null. `prefix` goes before the names.
Status diff_memory(repository::Repository& repository, const std::string& prefix, const MemoryBranch* before,
                   const MemoryBranch* after, const VisitChange& visit);

}  // namespace cacs::inspect
