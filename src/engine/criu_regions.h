#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/criu_files.h"

namespace cacs::engine {

/// What a region of a process's memory is, in a user's words.
enum class RegionKind {
  kAnonymous,     ///< private memory without a file: that of allocators, of threads' stacks
  kHeap,          ///< what brk(2) gives
  kStack,         ///< the first thread's stack
  kFile,          ///< a mapped file; what a process wrote to a private one is in its own pages
  kSharedMemory,  ///< shared memory without a name, or of System V
  kMemfd,         ///< memory of memfd_create(2)
  kKernel,        ///< code and data that the kernel gives to every process: vdso, vvar, vsyscall
  kOther,         ///< rings of asynchronous I/O, sockets, devices
};

/// The stable name of a kind, for output: "anonymous", "heap", "shared-memory", ...
std::string_view region_kind_name(RegionKind kind);

/// A mapping of a process, as mmap(2) speaks of it.
struct Region {
  std::uint64_t start = 0;       ///< virtual address, of a page
  std::uint64_t end = 0;         ///< the address after it; greater than `start`
  std::uint32_t protection = 0;  ///< PROT_*
  std::uint32_t flags = 0;       ///< MAP_*
  RegionKind kind = RegionKind::kAnonymous;
  std::string name;          ///< a file's path in the pod, a memfd's name; "[vdso]", ...; any bytes; may be empty
  std::uint64_t offset = 0;  ///< bytes in the file or shared memory at which it begins
  std::optional<std::uint64_t> shared_id;  ///< of shared memory and memfds: PageMapOf::id of its pages

  friend bool operator==(const Region&, const Region&) = default;
};

/// A process of a dump.
struct Process {
  std::uint32_t pid = 0;        ///< in the pod
  std::uint32_t parent = 0;     ///< 0: none in the dump
  std::string name;             ///< the kernel's short name of it (comm): any bytes, at most 15
  std::vector<Region> regions;  ///< by address, without overlap; none of a process that has ended

  friend bool operator==(const Process&, const Process&) = default;
};

/// The regions of an image of a process's memory (mm-PID.img), by address. Guard markers, which CRIU puts behind them,
/// are no regions. A file that `files` does not know has no name. Pure; bounded by the image's length. kCorrupt where
/// addresses are not those of pages, do not rise or overlap, or the image is not one.
Result<std::vector<Region>> parse_regions(std::string_view image, const MappedFiles& files);

/// The processes of an image of their tree (pstree.img): number and parent only, parents first. Pure. kCorrupt where
/// one comes twice, or its parent does not come before it.
Result<std::vector<Process>> parse_process_tree(std::string_view image);

/// A process's name, of the image of its state (core-PID.img). Pure.
Result<std::string> parse_process_name(std::string_view image);

/// All processes of a directory of images with their regions, parents first. kNotFound and kCorrupt name the image.
Result<std::vector<Process>> list_processes(const std::filesystem::path& images);

/// The region that `address` is in, of regions by address; null if it is in none.
const Region* region_at(std::span<const Region> regions, std::uint64_t address);

}  // namespace cacs::engine
