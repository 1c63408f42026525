#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs::engine {

/// Memory with a descriptor (memfd_create(2)). CRIU saves shared memory without a name in the same way.
struct Memfd {
  std::string name;             ///< as the program gave it: any bytes; empty for memory without a name
  bool anonymous = false;       ///< shared memory without a name: mmap(2) with MAP_SHARED and MAP_ANONYMOUS
  std::uint64_t shared_id = 0;  ///< of its page map, pagemap-shmem-ID.img (where it has pages)
  std::uint64_t bytes = 0;      ///< its size, which need not be whole pages

  friend bool operator==(const Memfd&, const Memfd&) = default;
};

/// What memory can be mapped from, by the number under which a dump speaks of it. Immutable once made.
struct MappedFiles {
  std::map<std::uint32_t, std::string> paths;     ///< regular files: number in files.img to path in the pod
  std::map<std::uint32_t, std::uint64_t> memfds;  ///< number in files.img to number in memfd.img
  std::map<std::uint64_t, Memfd> memory;          ///< by number in memfd.img

  friend bool operator==(const MappedFiles&, const MappedFiles&) = default;
};

/// `paths` and `memfds` of an image of open files (files.img); entries of other kinds are passed over. Pure. kCorrupt
/// where a number comes twice, a name is empty or longer than a path can be, or the image is not one.
Result<MappedFiles> parse_open_files(std::string_view image);

/// The image of memory with a descriptor (memfd.img). Pure. kCorrupt where a number comes twice, or it is not one.
Result<std::map<std::uint64_t, Memfd>> parse_memfds(std::string_view image);

/// memfd.img of a directory of images; empty where there is none, as in most dumps.
Result<std::map<std::uint64_t, Memfd>> read_memfds(const std::filesystem::path& images);

/// All of the above, of a directory of images.
Result<MappedFiles> read_mapped_files(const std::filesystem::path& images);

}  // namespace cacs::engine
