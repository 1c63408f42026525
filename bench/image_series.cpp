// image_series SERIES MiB VERSION SEED DIRECTORY: writes one version of a series of process images into DIRECTORY,
// which it makes, as the engine would: pages-N.img and pagemap-N.img in CRIU's format (that of 4.2:
// images/pagemap.proto and criu/include/magic.h), and small files beside them that differ a little from version to
// version. Prints JSON: how many pages the version has, and how many of them, counted once and without those that are
// all zeros, no version before has.

#include <fcntl.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <string>

#include "base/io.h"
#include "image_model.h"
#include "must.h"

namespace {

using namespace cacs;         // NOLINT(google-build-using-namespace)
using namespace cacs::bench;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kBufferPages = 256;
constexpr std::uint64_t kMaxMib = 65536;
constexpr std::uint64_t kMinMib = 16;  // the small mappings and, in each of four ranks, a heap worth the name
constexpr std::uint32_t kCommonMagic = 0x54564319;
constexpr std::uint32_t kPagemapMagic = 0x56084025;
constexpr std::uint64_t kPresent = 4;  // PE_PRESENT

void append_u32(std::string& out, std::uint32_t value) {
  for (unsigned shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(value >> shift));
}

/// A field of a protobuf message that is a varint.
void append_field(std::string& out, unsigned number, std::uint64_t value) {
  out.push_back(static_cast<char>(number << 3U));
  for (; value >= 128; value >>= 7U) out.push_back(static_cast<char>(value | 128U));
  out.push_back(static_cast<char>(value));
}

void append_record(std::string& out, const std::string& message) {
  append_u32(out, static_cast<std::uint32_t>(message.size()));
  out += message;
}

std::string head_of(std::uint32_t magic) {
  std::string head;
  append_u32(head, kCommonMagic);
  append_u32(head, magic);
  return head;
}

/// A pagemap-N.img, from the addresses of pages.
class PageMapImage {
 public:
  explicit PageMapImage(std::uint64_t pages_id) : image_(head_of(kPagemapMagic)) {
    std::string head;
    append_field(head, 1, pages_id);
    append_record(image_, head);
  }

  void add(std::uint64_t address) {
    if (address != start_ + pages_ * kPage) {
      flush();
      start_ = address;
    }
    ++pages_;
  }

  void flush() {
    if (pages_ == 0) return;
    std::string entry;
    append_field(entry, 1, start_);
    append_field(entry, 2, 0);  // the count of old versions: required, and left at 0 since there is a 64-bit one
    append_field(entry, 4, kPresent);
    append_field(entry, 5, pages_);
    append_record(image_, entry);
    pages_ = 0;
  }

  [[nodiscard]] const std::string& image() const { return image_; }

 private:
  std::string image_;
  std::uint64_t start_ = 0;
  std::uint64_t pages_ = 0;
};

struct Counts {
  std::uint64_t pages = 0;
  std::uint64_t changed = 0;
};

Status write_new_file(const std::filesystem::path& path, std::string_view bytes) {
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_WRONLY | O_CREAT | O_EXCL));
  return write_full(fd.get(), bytes);
}

/// pages-N.img of one process; its addresses go to `map`.
Status write_pages(const Series& series, std::uint64_t rank, const std::filesystem::path& path, PageMapImage& map,
                   Counts& counts) {
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_WRONLY | O_CREAT | O_EXCL));
  std::vector<std::byte> buffer(kBufferPages * kPage);
  std::size_t filled = 0;
  for (const Region& region : regions_of(series)) {
    std::uint64_t address = region.start;
    for (std::uint64_t index = 0; index < region.pages; ++index) {
      const Page page = page_of(series, rank, region, index);
      fill_page(std::span<std::byte, kPage>(&buffer[filled], kPage), page.content);
      filled += kPage;
      if (filled == buffer.size()) {
        CACS_TRY(write_full(fd.get(), buffer));
        filled = 0;
      }
      map.add(address);
      address += kPage * (1 + gap_after(series, region, index));
      ++counts.pages;
      counts.changed += page.fresh ? 1 : 0;
    }
  }
  map.flush();
  return write_full(fd.get(), std::span(buffer).first(filled));
}

/// A small file of the engine's: records of few different values, in which some bytes are of this version.
std::string small_file(const Series& series, std::string_view name, std::uint32_t magic, std::size_t size) {
  std::string bytes = head_of(magic);
  Series still = series;  // the version goes in by name, for the bytes that move
  still.version = 0;
  const std::uint64_t hash = std::hash<std::string_view>()(name);
  for (std::uint64_t i = 0; bytes.size() < size; ++i) {
    const bool moves = page_of(still, 0, {hash, 0, 0}, i).content % 32 == 0;
    const std::uint64_t value = page_of(still, 0, {moves ? hash + series.version : hash, 0, 0}, i).content;
    append_field(bytes, static_cast<unsigned>(1 + i % 15),
                 moves ? (value >> 30U) | (std::uint64_t{1} << 33U) : value % 100);
  }
  return bytes;
}

struct SmallFile {
  const char* name;
  std::uint32_t magic;
  std::size_t size;
  bool each_process;
};

// Names, magics and usual sizes of what the engine writes for a program with a few threads and libraries.
constexpr SmallFile kSmallFiles[] = {
    {"core", 0x55053847, 1700, true},      {"mm", 0x57492820, 7200, true},
    {"fs", 0x51403912, 60, true},          {"ids", 0x54432030, 60, true},
    {"fdinfo", 0x56213732, 120, true},     {"rlimit", 0x57113925, 240, true},
    {"files", 0x56303138, 5200, false},    {"pstree", 0x50273030, 120, false},
    {"cgroup", 0x59383330, 900, false},    {"mountpoints", 0x55563928, 2600, false},
    {"seccomp", 0x64413049, 400, false},   {"inventory", 0x58313116, 160, false},
    {"utsns", 0x54473203, 60, false},      {"tty-info", 0x59453036, 300, false},
    {"stats-dump", 0x57093306, 60, false},
};

Status write_small_files(const Series& series, const std::filesystem::path& directory) {
  for (const SmallFile& file : kSmallFiles) {
    for (std::uint64_t rank = 0; rank < (file.each_process ? series.ranks() : 1); ++rank) {
      const std::string name =
          file.name + (file.each_process ? "-" + std::to_string(101 + rank) : std::string()) + ".img";
      CACS_TRY(write_new_file(directory / name, small_file(series, name, file.magic, file.size)));
    }
  }
  return {};
}

Status write_version(const Series& series, const std::filesystem::path& directory) {
  CACS_TRY(make_directories(directory));
  Counts counts;
  for (std::uint64_t rank = 0; rank < series.ranks(); ++rank) {
    PageMapImage map(rank + 1);
    CACS_TRY(write_pages(series, rank, directory / ("pages-" + std::to_string(rank + 1) + ".img"), map, counts));
    CACS_TRY(write_new_file(directory / ("pagemap-" + std::to_string(101 + rank) + ".img"), map.image()));
  }
  CACS_TRY(write_small_files(series, directory));
  std::printf(R"({"pages":%llu,"changed_pages":%llu})"
              "\n",
              static_cast<unsigned long long>(counts.pages), static_cast<unsigned long long>(counts.changed));
  return {};
}

std::uint64_t number(const char* text, const char* what, std::uint64_t least, std::uint64_t most) {
  const std::string_view digits(text);
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (problem != std::errc() || end != digits.data() + digits.size() || value < least || value > most) {
    die(make_error(ErrorCode::kInvalidArgument, std::string(what) + " '" + text + "' is not a number from " +
                                                    std::to_string(least) + " to " + std::to_string(most)));
  }
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: image_series SERIES MiB VERSION SEED DIRECTORY\n");
    return 2;
  }
  Series series = must(parse_series(argv[1]));
  series.pages = number(argv[2], "the size in MiB", kMinMib, kMaxMib) * ((std::size_t{1} << 20U) / kPage);
  series.version = number(argv[3], "the version", 0, 1000);
  series.seed = number(argv[4], "the seed", 0, UINT64_MAX);
  must(write_version(series, argv[5]));
  return 0;
}
