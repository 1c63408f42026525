#include "engine/criu_pagemap.h"

#include <limits>
#include <optional>

#include "base/io.h"
#include "engine/criu_files.h"
#include "engine/criu_image.h"
#include "engine/criu_image.pb.h"

namespace cacs::engine {

namespace {

constexpr std::size_t kMaxPageMapBytes = std::size_t{1} << 30U;
constexpr std::size_t kMaxFiles = std::size_t{1} << 20U;
constexpr std::string_view kWhat = "the engine's page map";

// Bits of an entry's flags.
constexpr std::uint32_t kInParent = 1U << 0U;
constexpr std::uint32_t kLazy = 1U << 1U;
constexpr std::uint32_t kPresent = 1U << 2U;

Result<ImageReader> open_map(std::string_view image) {
  return ImageReader::open(image, kPageMapMagic, std::string(kWhat));
}

Result<std::uint32_t> read_head(ImageReader& reader) {
  image::PageMapHead head;
  CACS_ASSIGN(const bool there, reader.read(head));
  if (!there || !head.has_pages_id()) return reader.corrupt("does not say which pages it is about");
  return head.pages_id();
}

/// Where the pages of an entry are: exactly one of the two; what was written before there were flags is understood.
std::optional<std::uint32_t> whereabouts(const image::PageMapEntry& entry) {
  std::uint32_t flags = entry.has_flags() ? entry.flags() : 0;
  if (entry.in_parent()) flags |= kInParent;
  if (!entry.has_flags() && !entry.in_parent()) flags = kPresent;
  switch (flags) {
    case kPresent:
    case kPresent | kLazy:
      return kPresent;
    case kInParent:
    case kLazy:
      return flags;
    default:
      return std::nullopt;
  }
}

/// Checks the entries one by one, and collects what they say.
class Collector {
 public:
  Collector(std::uint32_t pages_id, std::uint64_t pages_in_file) : left_(pages_in_file) { map_.pages_id = pages_id; }

  /// What is wrong with an entry; nothing if all is well.
  std::optional<std::string_view> add(const image::PageMapEntry& entry) {
    const std::uint64_t address = entry.address();
    const std::uint64_t pages = entry.has_pages() ? entry.pages() : entry.compat_pages();
    if (!entry.has_address() || address % kPageBytes != 0) return "has pages at what is no address of one";
    if (pages == 0) return "has an extent of no pages";
    const std::uint64_t page = address / kPageBytes;
    if (pages > kPagesOfAll - page) return "has pages beyond the end of memory";
    if (page < end_) return "has pages that are not in the order of their addresses";
    end_ = page + pages;
    const auto where = whereabouts(entry);
    if (!where) return "has pages with flags that CACS does not know";
    if (*where != kPresent) {
      map_.pages_elsewhere += pages;
      return std::nullopt;
    }
    if (pages > left_) return "has more pages than the pages file";
    left_ -= pages;
    if (!map_.extents.empty() && page_after(map_.extents.back()) == page) {
      map_.extents.back().pages += pages;
    } else {
      map_.extents.push_back({address, pages});
    }
    return std::nullopt;
  }

  [[nodiscard]] bool complete() const { return left_ == 0; }
  PageMap take() { return std::move(map_); }

 private:
  static constexpr std::uint64_t kPagesOfAll = std::numeric_limits<std::uint64_t>::max() / kPageBytes + 1;
  static std::uint64_t page_after(const Extent& extent) { return extent.address / kPageBytes + extent.pages; }

  PageMap map_;
  std::uint64_t left_;     // pages of the file that no extent has spoken of yet
  std::uint64_t end_ = 0;  // the page after the last one named
};

/// The names in a directory that are page maps or pages files.
struct Names {
  std::vector<std::string> maps;
  std::map<std::string, std::uint64_t> pages;  // to their lengths
};

Error bad_file(const std::filesystem::path& path, const std::string& problem) {
  return make_error(ErrorCode::kCorrupt, path.string() + ' ' + problem,
                    "the dump cannot be restored: take the checkpoint again");
}

Result<Names> list_names(const std::filesystem::path& images) {
  Names names;
  std::error_code problem;
  std::filesystem::directory_iterator entry(images, problem);
  for (std::size_t count = 0; !problem && entry != std::filesystem::directory_iterator(); entry.increment(problem)) {
    if (++count > kMaxFiles)
      return make_error(ErrorCode::kTooLarge, images.string() + " has more files than a dump can have");
    const std::string name = entry->path().filename().string();
    if (name.starts_with("pagemap-")) names.maps.push_back(name);
    if (!name.starts_with("pages-")) continue;
    const bool regular = entry->symlink_status(problem).type() == std::filesystem::file_type::regular;
    if (problem) break;
    if (!regular || !numbered_image(name, "pages-", std::numeric_limits<std::uint32_t>::max()))
      return bad_file(images / name, "is not a pages file of CRIU's");
    names.pages[name] = entry->file_size(problem);
    if (problem) break;
  }
  if (problem) return errno_error(problem.value(), "list " + images.string());
  return names;
}

using Memfds = std::map<std::uint64_t, Memfd>;  // by shared_id

Result<PageMapOf> owner_of(const std::filesystem::path& path, const Memfds& memfds) {
  constexpr std::uint64_t kMaxPid = 1U << 22U;
  const std::string name = path.filename().string();
  PageMapOf owned;
  if (const auto pid = numbered_image(name, "pagemap-", kMaxPid)) {
    owned.id = *pid;
    return owned;
  }
  const auto shared = numbered_image(name, "pagemap-shmem-", std::numeric_limits<std::uint64_t>::max());
  if (!shared) return bad_file(path, "is not a page map of CRIU's");
  owned.kind = PagesOf::kSharedMemory;
  owned.id = *shared;
  const auto memfd = memfds.find(*shared);
  if (memfd != memfds.end() && !memfd->second.anonymous) {
    owned.kind = PagesOf::kMemfd;
    owned.name = memfd->second.name;
  }
  return owned;
}

Result<Memfds> read_memfds_by_shared_id(const std::filesystem::path& images) {
  CACS_ASSIGN(const auto memory, read_memfds(images));
  Memfds memfds;
  for (const auto& [inode, memfd] : memory) {
    if (!memfds.emplace(memfd.shared_id, memfd).second)
      return bad_file(images / "memfd.img", "has two memories of the number " + std::to_string(memfd.shared_id));
  }
  return memfds;
}

}  // namespace

Result<std::uint32_t> pages_id_of(std::string_view page_map) {
  CACS_ASSIGN(auto reader, open_map(page_map));
  return read_head(reader);
}

Result<PageMap> parse_page_map(std::string_view image, std::uint64_t pages_file_bytes) {
  CACS_ASSIGN(auto reader, open_map(image));
  CACS_ASSIGN(const std::uint32_t pages_id, read_head(reader));
  if (pages_file_bytes % kPageBytes != 0) return reader.corrupt("is about a pages file that does not end with a page");
  Collector collector(pages_id, pages_file_bytes / kPageBytes);
  image::PageMapEntry entry;
  while (true) {
    CACS_ASSIGN(const bool more, reader.read(entry));
    if (!more) break;
    if (const auto problem = collector.add(entry)) return reader.corrupt(*problem);
  }
  if (!collector.complete()) return reader.corrupt("has fewer pages than the pages file");
  return collector.take();
}

Result<std::map<std::string, PageMapOf>> list_page_maps(const std::filesystem::path& images) {
  CACS_ASSIGN(const Names names, list_names(images));
  CACS_ASSIGN(const Memfds memfds, read_memfds_by_shared_id(images));
  std::map<std::string, PageMapOf> maps;
  for (const auto& name : names.maps) {
    const auto path = images / name;
    CACS_ASSIGN(PageMapOf owned, owner_of(path, memfds));
    CACS_ASSIGN(const std::string image, read_text_file(path, kMaxPageMapBytes));
    CACS_ASSIGN(const std::uint32_t pages_id, pages_id_of(image).context(path.string()));
    const std::string pages_name = "pages-" + std::to_string(pages_id) + ".img";
    const auto pages = names.pages.find(pages_name);
    if (pages == names.pages.end()) return bad_file(path, "is about " + pages_name + ", which is not there");
    CACS_ASSIGN(owned.map, parse_page_map(image, pages->second).context(path.string() + ", of " + pages_name));
    if (!maps.emplace(pages_name, std::move(owned)).second)
      return bad_file(images / pages_name, "is claimed by two page maps, one of which is " + name);
  }
  for (const auto& [name, bytes] : names.pages) {
    if (!maps.contains(name))
      return bad_file(images / name, "has no page map: nothing says what its pages are")
          .with_hint(
              "the dump cannot be restored. Memory of System V (shmget) may have the number of other shared memory: "
              "use another kind, or start the application again");
  }
  return maps;
}

}  // namespace cacs::engine
