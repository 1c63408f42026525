#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace cacs {

/// A line of /proc/PID/maps.
struct Mapping {
  std::uint64_t start = 0;
  std::uint64_t end = 0;
  std::string permissions;  ///< "rw-p"
  std::uint64_t offset = 0;
  std::string name;  ///< as the kernel shows it: "/a/file", "[heap]", "/memfd:x (deleted)"; may be empty
};

/// A page that a process has, as the kernel shows it.
struct MemoryPage {
  std::string bytes;
  bool own = false;  ///< not a file's, shared memory's or the kernel's, nor the page of zeros that all share
};

/// What the kernel says of a process's memory. Of one that is stopped, so that it is of one moment.
struct ProcessMemory {
  std::vector<Mapping> mappings;              ///< by address
  std::map<std::uint64_t, MemoryPage> pages;  ///< those that are there, by address; all of [vdso], none of [vvar]
};

Result<ProcessMemory> read_process_memory(pid_t pid);

}  // namespace cacs
