#include "process_memory.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <charconv>
#include <filesystem>
#include <span>
#include <sstream>

#include "base/io.h"

namespace cacs {

namespace {

constexpr std::uint64_t kPage = 4096;

// Of an entry of /proc/PID/pagemap (the kernel's Documentation/admin-guide/mm/pagemap.rst).
constexpr std::uint64_t kPresent = std::uint64_t{1} << 63U;
constexpr std::uint64_t kSwapped = std::uint64_t{1} << 62U;
constexpr std::uint64_t kOfFile = std::uint64_t{1} << 61U;
constexpr std::uint64_t kFrame = (std::uint64_t{1} << 55U) - 1;

Result<std::uint64_t> pagemap_entry(int pagemap, std::uint64_t address) {
  std::uint64_t entry = 0;
  CACS_ASSIGN(const std::size_t got,
              pread_full(pagemap, std::as_writable_bytes(std::span(&entry, 1)), address / kPage * sizeof entry));
  return got == sizeof entry ? entry : 0;
}

/// The frame of the page of zeros that the kernel gives to whoever reads memory that was never written.
Result<std::uint64_t> frame_of_zeros() {
  void* memory = ::mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return errno_error(errno, "mmap");
  (void)*static_cast<volatile char*>(memory);
  auto pagemap = open_file("/proc/self/pagemap", O_RDONLY);
  auto entry = pagemap ? pagemap_entry(pagemap->get(), reinterpret_cast<std::uint64_t>(memory)) : pagemap.error();
  ::munmap(memory, kPage);
  if (entry && (*entry & kFrame) == 0) return make_error(ErrorCode::kPermission, "the kernel does not show frames");
  return entry ? Result<std::uint64_t>(*entry & kFrame) : entry;
}

std::vector<Mapping> parse_maps(const std::string& text) {
  std::vector<Mapping> mappings;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Mapping mapping;
    char dash = 0;
    std::string device;
    std::string inode;
    words >> std::hex >> mapping.start >> dash >> mapping.end >> mapping.permissions >> mapping.offset >> device >>
        inode >> std::ws;
    std::getline(words, mapping.name);
    mappings.push_back(mapping);
  }
  return mappings;
}

}  // namespace

Result<ProcessMemory> read_process_memory(pid_t pid) {
  const std::filesystem::path proc = "/proc/" + std::to_string(pid);
  CACS_ASSIGN(const std::uint64_t zeros, frame_of_zeros());
  CACS_ASSIGN(const std::string maps, read_text_file(proc / "maps"));
  CACS_ASSIGN(const UniqueFd memory, open_file(proc / "mem", O_RDONLY));
  CACS_ASSIGN(const UniqueFd pagemap, open_file(proc / "pagemap", O_RDONLY));
  ProcessMemory read;
  read.mappings = parse_maps(maps);
  for (const auto& mapping : read.mappings) {
    const bool code_of_kernel = mapping.name == "[vdso]";
    if (mapping.name.starts_with("[v") && !code_of_kernel) continue;
    for (std::uint64_t address = mapping.start; address < mapping.end; address += kPage) {
      CACS_ASSIGN(const std::uint64_t entry, pagemap_entry(pagemap.get(), address));
      if ((entry & (kPresent | kSwapped)) == 0 && !code_of_kernel) continue;
      MemoryPage page;
      page.own = !code_of_kernel && (entry & kOfFile) == 0 && ((entry & kPresent) == 0 || (entry & kFrame) != zeros);
      page.bytes.resize(kPage);
      CACS_ASSIGN(const std::size_t got,
                  pread_full(memory.get(), std::as_writable_bytes(std::span(page.bytes)), address));
      if (got != kPage) return make_error(ErrorCode::kIo, "a page of " + proc.string() + " cannot be read");
      read.pages.emplace(address, std::move(page));
    }
  }
  return read;
}

}  // namespace cacs
