#include "engine/criu_regions.h"

#include <sys/mman.h>

#include <algorithm>
#include <unordered_set>

#include "base/io.h"
#include "engine/criu_image.h"
#include "engine/criu_image.pb.h"

#include <google/protobuf/io/coded_stream.h>

namespace cacs::engine {

namespace {

using google::protobuf::io::CodedInputStream;

// A million mappings, the most that any distribution allows by default, are some 60 MiB.
constexpr std::size_t kMaxMemoryBytes = std::size_t{128} << 20U;
constexpr std::size_t kMaxTreeBytes = std::size_t{64} << 20U;
// The state of a process has its pending signals in it.
constexpr std::size_t kMaxCoreBytes = std::size_t{64} << 20U;
constexpr std::uint32_t kMaxPid = 1U << 22U;
constexpr std::size_t kMaxProcessName = 15;
constexpr std::uint64_t kPageMask = 4095;

// Bits of a mapping's status.
constexpr std::uint32_t kVsyscall = 1U << 2U;
constexpr std::uint32_t kVdso = 1U << 3U;
constexpr std::uint32_t kHeap = 1U << 5U;
constexpr std::uint32_t kPrivateFile = 1U << 6U;
constexpr std::uint32_t kSharedFile = 1U << 7U;
constexpr std::uint32_t kSharedNameless = 1U << 8U;
constexpr std::uint32_t kPrivateNameless = 1U << 9U;
constexpr std::uint32_t kSystemV = 1U << 10U;
constexpr std::uint32_t kSocket = 1U << 11U;
constexpr std::uint32_t kVvar = 1U << 12U;
constexpr std::uint32_t kAioRing = 1U << 13U;
constexpr std::uint32_t kOfMemfd = 1U << 14U;
constexpr std::uint32_t kGuard = 1U << 16U;
constexpr std::uint32_t kUprobes = 1U << 17U;
constexpr std::uint32_t kOfPlugin = 1U << 27U;

/// What a mapping of memory with a descriptor is of, if the images know it.
void name_memfd(Region& region, std::uint64_t file, const MappedFiles& files) {
  region.kind = RegionKind::kMemfd;
  const auto inode = files.memfds.find(static_cast<std::uint32_t>(file));
  if (inode == files.memfds.end()) return;
  const auto memory = files.memory.find(inode->second);
  if (memory == files.memory.end()) return;
  if (memory->second.anonymous) region.kind = RegionKind::kSharedMemory;
  region.name = memory->second.name;
  region.shared_id = memory->second.shared_id;
}

void name_file(Region& region, std::uint64_t file, const MappedFiles& files) {
  region.kind = RegionKind::kFile;
  const auto path = files.paths.find(static_cast<std::uint32_t>(file));
  if (path != files.paths.end()) region.name = path->second;
}

/// Kind, name and shared_id of a mapping. `shared_id` of the image is the number of what is mapped: of a file, or of
/// shared memory.
void classify(Region& region, const image::Region& mapping, const MappedFiles& files) {
  const auto is = [status = mapping.status()](std::uint32_t bits) { return (status & bits) != 0; };
  const auto kernel = [&region](const char* name) {
    region.kind = RegionKind::kKernel;
    region.name = name;
  };
  if (is(kVsyscall)) return kernel("[vsyscall]");
  if (is(kVdso)) return kernel("[vdso]");
  if (is(kVvar)) return kernel("[vvar]");
  if (is(kUprobes)) return kernel("[uprobes]");
  if (is(kSystemV | kSharedNameless)) {
    region.kind = RegionKind::kSharedMemory;
    region.shared_id = mapping.shared_id();
  } else if (is(kOfMemfd)) {
    name_memfd(region, mapping.shared_id(), files);
  } else if (is(kSocket | kAioRing | kOfPlugin)) {
    region.kind = RegionKind::kOther;
  } else if (is(kPrivateFile | kSharedFile)) {
    name_file(region, mapping.shared_id(), files);
  } else if (is(kHeap)) {
    region.kind = RegionKind::kHeap;
  } else {
    region.kind = is(kPrivateNameless) ? RegionKind::kAnonymous : RegionKind::kOther;
  }
}

/// Goes through the one message of an image of memory, field by field: parsed as a whole it could take many times its
/// length. Only what `region` is called with and what is returned is looked at.
class MemoryWalk {
 public:
  explicit MemoryWalk(std::string_view message)
      : message_(message),
        in_(reinterpret_cast<const std::uint8_t*>(message.data()), static_cast<int>(message.size())) {}

  /// Steps to the next mapping; false at the end or where the message cannot be read: `sound` tells.
  bool next(image::Region& mapping) {
    while (const std::uint32_t tag = in_.ReadTag()) {
      constexpr std::uint32_t kStackTag = 5U << 3U;
      constexpr std::uint32_t kRegionTag = (14U << 3U) | 2U;
      if (tag == kRegionTag) {
        std::string_view bytes;
        if (!take_bytes(bytes)) return false;
        sound_ = mapping.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
        return sound_;
      }
      sound_ = tag == kStackTag ? in_.ReadVarint64(&start_stack_) : skip(tag & 7U);
      if (!sound_) return false;
    }
    sound_ = in_.ConsumedEntireMessage();
    return false;
  }

  [[nodiscard]] bool sound() const { return sound_; }
  [[nodiscard]] std::uint64_t start_stack() const { return start_stack_; }

 private:
  bool take_bytes(std::string_view& bytes) {
    std::uint32_t size = 0;
    sound_ = in_.ReadVarint32(&size) && size <= message_.size() - static_cast<std::size_t>(in_.CurrentPosition());
    if (!sound_) return false;
    bytes = message_.substr(static_cast<std::size_t>(in_.CurrentPosition()), size);
    return in_.Skip(static_cast<int>(size));
  }

  bool skip(std::uint32_t wire_type) {
    std::uint64_t number = 0;
    std::string_view bytes;
    switch (wire_type) {
      case 0:
        return in_.ReadVarint64(&number);
      case 1:
        return in_.Skip(8);
      case 2:
        return take_bytes(bytes);
      case 5:
        return in_.Skip(4);
      default:
        return false;
    }
  }

  std::string_view message_;
  CodedInputStream in_;
  std::uint64_t start_stack_ = 0;
  bool sound_ = true;
};

bool of_pages(const image::Region& mapping) {
  return mapping.has_start() && mapping.start() < mapping.end() && (mapping.start() & kPageMask) == 0 &&
         (mapping.end() & kPageMask) == 0;
}

Region make_region(const image::Region& mapping, const MappedFiles& files) {
  Region region;
  region.start = mapping.start();
  region.end = mapping.end();
  region.protection = mapping.protection();
  region.flags = mapping.flags();
  region.offset = mapping.offset();
  classify(region, mapping, files);
  return region;
}

/// The index of the first of `regions` that ends after `address`.
std::size_t first_after(std::span<const Region> regions, std::uint64_t address) {
  const auto found = std::upper_bound(regions.begin(), regions.end(), address,
                                      [](std::uint64_t at, const Region& region) { return at < region.end; });
  return static_cast<std::size_t>(found - regions.begin());
}

}  // namespace

std::string_view region_kind_name(RegionKind kind) {
  switch (kind) {
    case RegionKind::kAnonymous:
      return "anonymous";
    case RegionKind::kHeap:
      return "heap";
    case RegionKind::kStack:
      return "stack";
    case RegionKind::kFile:
      return "file";
    case RegionKind::kSharedMemory:
      return "shared-memory";
    case RegionKind::kMemfd:
      return "memfd";
    case RegionKind::kKernel:
      return "kernel";
    case RegionKind::kOther:
      break;
  }
  return "other";
}

const Region* region_at(std::span<const Region> regions, std::uint64_t address) {
  const std::size_t index = first_after(regions, address);
  return index < regions.size() && regions[index].start <= address ? &regions[index] : nullptr;
}

Result<std::vector<Region>> parse_regions(std::string_view image, const MappedFiles& files) {
  CACS_ASSIGN(auto reader,
              ImageReader::open(image, kMemoryMagic, "the engine's image of a process's memory", kMaxMemoryBytes));
  CACS_ASSIGN(const auto message, reader.next());
  if (!message) return reader.corrupt("is empty");
  std::vector<Region> regions;
  MemoryWalk walk(*message);
  for (image::Region mapping; walk.next(mapping);) {
    if ((mapping.status() & kGuard) != 0) continue;
    if (!of_pages(mapping)) return reader.corrupt("has a mapping whose addresses are not those of pages");
    if (!regions.empty() && mapping.start() < regions.back().end)
      return reader.corrupt("has mappings that are not in the order of their addresses");
    regions.push_back(make_region(mapping, files));
  }
  if (!walk.sound()) return reader.corrupt("has an entry that cannot be read");
  CACS_ASSIGN(const auto more, reader.next());
  if (more) return reader.corrupt("has more than one entry");
  const std::size_t stack = first_after(regions, walk.start_stack());
  if (stack < regions.size() && regions[stack].start <= walk.start_stack() &&
      regions[stack].kind == RegionKind::kAnonymous)
    regions[stack].kind = RegionKind::kStack;
  return regions;
}

Result<std::vector<Process>> parse_process_tree(std::string_view image) {
  CACS_ASSIGN(auto reader, ImageReader::open(image, kProcessTreeMagic, "the engine's image of the processes"));
  std::vector<Process> processes;
  std::unordered_set<std::uint32_t> seen;
  image::Process entry;
  while (true) {
    CACS_ASSIGN(const bool more, reader.read(entry));
    if (!more) break;
    if (entry.pid() == 0 || entry.pid() > kMaxPid) return reader.corrupt("has a process without a number");
    if (entry.parent() != 0 && !seen.contains(entry.parent()))
      return reader.corrupt("has process " + std::to_string(entry.pid()) + " before its parent");
    if (!seen.insert(entry.pid()).second)
      return reader.corrupt("has process " + std::to_string(entry.pid()) + " twice");
    Process process;
    process.pid = entry.pid();
    process.parent = entry.parent();
    processes.push_back(std::move(process));
  }
  if (processes.empty()) return reader.corrupt("is empty");
  return processes;
}

Result<std::string> parse_process_name(std::string_view image) {
  CACS_ASSIGN(auto reader,
              ImageReader::open(image, kCoreMagic, "the engine's image of a process's state", kMaxCoreBytes));
  image::Core core;
  CACS_ASSIGN(const bool there, reader.read(core));
  if (!there || !core.task().has_name()) return reader.corrupt("does not say the process's name");
  if (core.task().name().size() > kMaxProcessName) return reader.corrupt("has too long a name for a process");
  return core.task().name();
}

Result<std::vector<Process>> list_processes(const std::filesystem::path& images) {
  const auto tree_path = images / "pstree.img";
  CACS_ASSIGN(const std::string tree, read_text_file(tree_path, kMaxTreeBytes));
  CACS_ASSIGN(std::vector<Process> processes, parse_process_tree(tree).context(tree_path.string()));
  CACS_ASSIGN(const MappedFiles files, read_mapped_files(images));
  for (auto& process : processes) {
    const std::string number = std::to_string(process.pid) + ".img";
    const auto core_path = images / ("core-" + number);
    CACS_ASSIGN(const std::string core, read_text_file(core_path, kMaxCoreBytes));
    CACS_ASSIGN(process.name, parse_process_name(core).context(core_path.string()));
    const auto memory_path = images / ("mm-" + number);
    CACS_ASSIGN(const auto memory, read_image(memory_path, kMaxMemoryBytes));
    if (!memory) continue;  // it has ended, and its parent has not waited for it
    CACS_ASSIGN(process.regions, parse_regions(*memory, files).context(memory_path.string()));
  }
  return processes;
}

}  // namespace cacs::engine
