#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cacs::engine {

/// The size of a page in CRIU's images: that of the machine on which the dump was made. CACS runs on x86-64, where it
/// is always this; pages of another size do not fit the length of the pages file, and are refused by that.
inline constexpr std::uint64_t kPageBytes = 4096;

/// Pages that follow each other in memory and in the pages file.
struct Extent {
  std::uint64_t address = 0;  ///< of the first byte: a virtual address, or an offset in shared memory
  std::uint64_t pages = 0;    ///< of kPageBytes; at least one; the last one ends at 2^64 or below

  friend bool operator==(const Extent&, const Extent&) = default;
};

/// Which pages lie in pages-<pages_id>.img, in the order in which they lie there, without gaps: the first page of the
/// first extent is at the file's start, and so on to its end. Addresses rise and extents neither overlap nor touch
/// (those that CRIU has split because its pipe was full are put together again).
struct PageMap {
  std::uint32_t pages_id = 0;
  std::vector<Extent> extents;
  /// Pages that the map names but that are not in its pages file: the parent of an incremental dump has them, or a lazy
  /// restore was to fetch them. None in a dump that CACS has made.
  std::uint64_t pages_elsewhere = 0;

  friend bool operator==(const PageMap&, const PageMap&) = default;
};

/// The number of the pages file that a page map is about: what has to be known before its length is. Pure.
Result<std::uint32_t> pages_id_of(std::string_view page_map);

/// A page map (pagemap-*.img) whose pages file is `pages_file_bytes` long. Understands the page counts of 32 bits that
/// CRIU wrote up to 4.1 and those of 64 bits since, and the maps without flags of before 3.5. Pure; time and memory are
/// bounded by the image's length.
///
/// kCorrupt where it is not what CRIU writes: addresses that are not those of pages, pass 2^64, or do not rise (CRIU
/// writes them in order, and its own restore goes through them but once); extents of no pages; flags that are
/// contradictory or of a CRIU to come; more or fewer pages than the pages file has.
Result<PageMap> parse_page_map(std::string_view image, std::uint64_t pages_file_bytes);

/// Whose pages a page map speaks of.
enum class PagesOf {
  kTask,          ///< the private memory of the process `id`; addresses are its virtual ones
  kSharedMemory,  ///< shared memory without a name, or of System V; addresses are offsets in it
  kMemfd,         ///< memory of memfd_create(2); addresses are offsets in it
};

struct PageMapOf {
  PagesOf kind = PagesOf::kTask;
  std::uint64_t id = 0;  ///< pid in the pod; of shared memory the number in the image's name (Region::shared_id), which
                         ///< is the kernel's at the time of the dump: it does not outlive a restore
  std::string name;      ///< of a memfd, as the program gave it: any bytes
  PageMap map;

  friend bool operator==(const PageMapOf&, const PageMapOf&) = default;
};

/// All page maps of a directory of images, by the name of the pages file that each is about ("pages-1.img"): the
/// content of every pages file in it is described by exactly one of them, byte for byte.
///
/// kCorrupt, with the files' names, where a pages file has no map or two, or not the length that its map says. No
/// version of CRIU shares one between maps (each map is given the next number); where two maps name the same file, or
/// none names one, CRIU has overwritten something: the dump cannot be restored. Does not follow `parent`.
Result<std::map<std::string, PageMapOf>> list_page_maps(const std::filesystem::path& images);

}  // namespace cacs::engine
