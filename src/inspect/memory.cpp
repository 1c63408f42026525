#include "inspect/memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "engine/criu_files.h"
#include "engine/criu_image.h"
#include "engine/criu_pagemap.h"

namespace cacs::inspect {

namespace {

using engine::Process;
using engine::Region;
using engine::RegionKind;
using repository::kPageBytes;

// Images that are read whole; each is what the engine's own readers take at most.
constexpr std::size_t kMaxTreeBytes = std::size_t{64} << 20U;
constexpr std::size_t kMaxFilesBytes = std::size_t{256} << 20U;
constexpr std::size_t kMaxMemoryBytes = std::size_t{128} << 20U;
// The head of a page map is its first entry.
constexpr std::size_t kHeadBytes = 4096;
constexpr std::size_t kMaxNameBytes = 64;

/// What a region is, as the end of a file's name: "heap", "libc.so.6", ...
std::string label_of(const Region& region) {
  std::string_view name = region.name;
  switch (region.kind) {
    case RegionKind::kAnonymous:
      return "";
    case RegionKind::kFile:
      name = delta::base_name(name);
      break;
    case RegionKind::kKernel:
      if (name.size() > 2 && name.front() == '[') name = name.substr(1, name.size() - 2);
      break;
    default:
      if (name.empty()) name = engine::region_kind_name(region.kind);
  }
  std::string label(name.substr(0, kMaxNameBytes));
  for (char& letter : label) {
    if (letter == '/' || static_cast<unsigned char>(letter) < 0x20) letter = '_';
  }
  return label;
}

}  // namespace

std::uint64_t SavedMemory::saved(std::uint64_t first, std::uint64_t end) const {
  auto run = std::upper_bound(runs.begin(), runs.end(), first,
                              [](std::uint64_t at, const SavedRun& each) { return at < each.page + each.count; });
  std::uint64_t count = 0;
  for (; run != runs.end() && run->page < end; ++run) {
    count += std::min(end, run->page + run->count) - std::max(first, run->page);
  }
  return count;
}

std::uint64_t RegionFacts::elsewhere() const {
  const bool others =
      region.kind == RegionKind::kFile || region.kind == RegionKind::kKernel || region.kind == RegionKind::kOther;
  return others ? pages - saved : 0;
}

std::string region_file_name(const Region& region) {
  const std::string label = label_of(region);
  return fmt::format("{:012x}-{:012x}{}{}", region.start, region.end, label.empty() ? "" : ".", label);
}

std::string protection_text(const Region& region) {
  const auto letter = [&region](int bit, char yes) {
    return (region.protection & static_cast<std::uint32_t>(bit)) != 0 ? yes : '-';
  };
  return {letter(PROT_READ, 'r'), letter(PROT_WRITE, 'w'), letter(PROT_EXEC, 'x'),
          (region.flags & MAP_SHARED) != 0 ? 's' : 'p'};
}

/// Reads a pod's images.
class MemoryLoader {
 public:
  MemoryLoader(repository::Repository& repository, const ImagesBranch& images, MemoryBranch& branch)
      : repository_(repository), images_(images), branch_(branch) {}

  Status run() {
    CACS_ASSIGN(const auto tree, read("pstree.img", kMaxTreeBytes));
    if (!tree) return make_error(ErrorCode::kNotFound, "the engine's images have no tree of processes");
    CACS_ASSIGN(auto processes, engine::parse_process_tree(*tree).context("pstree.img"));
    CACS_TRY(load_files());
    for (auto& process : processes) {
      const std::uint32_t pid = process.pid;
      CACS_ASSIGN(branch_.processes_[pid], load_process(std::move(process)));
    }
    return {};
  }

 private:
  Result<std::optional<std::string>> read(const std::string& name, std::size_t limit) {
    const auto found = images_.files().find(name);
    if (found == images_.files().end()) return std::optional<std::string>();
    repository::StringSink sink(limit);
    CACS_TRY(repository_.read_blob(found->second, sink).context(name));
    return std::optional(sink.take());
  }

  Status load_files() {
    CACS_ASSIGN(const auto open, read("files.img", kMaxFilesBytes));
    if (open) {
      CACS_ASSIGN(files_, engine::parse_open_files(*open).context("files.img"));
    }
    CACS_ASSIGN(const auto memory, read("memfd.img", kMaxTreeBytes));
    if (memory) {
      CACS_ASSIGN(files_.memory, engine::parse_memfds(*memory).context("memfd.img"));
    }
    return {};
  }

  Result<ProcessMemory> load_process(Process process) {
    ProcessMemory loaded;
    const std::string number = std::to_string(process.pid) + ".img";
    CACS_ASSIGN(const auto core, read("core-" + number, kMaxTreeBytes));
    if (core) {
      CACS_ASSIGN(process.name, engine::parse_process_name(*core).context("core-" + number));
    }
    CACS_ASSIGN(const auto memory, read("mm-" + number, kMaxMemoryBytes));
    if (memory) {
      CACS_ASSIGN(process.regions, engine::parse_regions(*memory, files_).context("mm-" + number));
    }
    CACS_ASSIGN(loaded.own, load_pages("pagemap-" + number));
    for (const Region& region : process.regions) {
      if (!region.shared_id || branch_.shared_.contains(*region.shared_id)) continue;
      CACS_ASSIGN(branch_.shared_[*region.shared_id],
                  load_pages("pagemap-shmem-" + std::to_string(*region.shared_id) + ".img"));
    }
    loaded.process = std::move(process);
    return loaded;
  }

  /// Null when there is no such page map.
  Result<std::shared_ptr<const SavedMemory>> load_pages(const std::string& page_map) {
    const auto map = images_.files().find(page_map);
    if (map == images_.files().end()) return std::shared_ptr<const SavedMemory>();
    CACS_ASSIGN(const auto reader, repository_.open_reader(map->second));
    std::string head(kHeadBytes, '\0');
    CACS_ASSIGN(const std::size_t size, reader->read_at(0, std::as_writable_bytes(std::span(head))));
    head.resize(size);
    CACS_ASSIGN(const std::uint32_t id, engine::pages_id_of(head).context(page_map));
    const std::string name = "pages-" + std::to_string(id) + ".img";
    const auto pages = images_.files().find(name);
    if (pages == images_.files().end())
      return make_error(ErrorCode::kCorrupt, page_map + " is about " + name + ", which is not there");
    auto memory = std::make_shared<SavedMemory>();
    memory->blob = pages->second;
    if (memory->blob.size > 0) {
      CACS_ASSIGN(const auto layout, repository_.page_layout(memory->blob).context(name));
      std::uint64_t first = 0;
      for (const auto& extent : layout) {
        memory->runs.push_back({.page = extent.page, .count = extent.count, .first = first});
        first += extent.count;
      }
    }
    std::sort(memory->runs.begin(), memory->runs.end(),
              [](const SavedRun& one, const SavedRun& other) { return one.page < other.page; });
    return std::shared_ptr<const SavedMemory>(std::move(memory));
  }

  repository::Repository& repository_;
  const ImagesBranch& images_;
  MemoryBranch& branch_;
  engine::MappedFiles files_;
};

Result<std::shared_ptr<const MemoryBranch>> MemoryBranch::load(repository::Repository& repository,
                                                               const ImagesBranch& images, delta::Timestamp time) {
  auto branch = std::make_shared<MemoryBranch>();
  branch->time_ = time;
  CACS_TRY(MemoryLoader(repository, images, *branch).run());
  return std::shared_ptr<const MemoryBranch>(std::move(branch));
}

MemoryWindow MemoryBranch::window_of(const ProcessMemory& process, const Region& region) const {
  // What a process wrote to a private mapping of a memfd is its own.
  if (!region.shared_id || (region.flags & MAP_SHARED) == 0) return {.memory = process.own, .start = region.start};
  const auto shared = shared_.find(*region.shared_id);
  return {.memory = shared == shared_.end() ? nullptr : shared->second, .start = region.offset};
}

RegionFacts MemoryBranch::facts_of(const ProcessMemory& process, const Region& region) const {
  RegionFacts facts{.region = region, .pages = (region.end - region.start) / kPageBytes};
  const MemoryWindow window = window_of(process, region);
  const std::uint64_t first = window.start / kPageBytes;
  if (window.memory) facts.saved = window.memory->saved(first, first + facts.pages);
  return facts;
}

Node MemoryBranch::region_node(const ProcessMemory& process, const Region& region) const {
  return {.type = delta::EntryType::kRegular,
          .mode = 0400,
          .mtime = time_,
          .size = region.end - region.start,
          .region = facts_of(process, region),
          .content = window_of(process, region)};
}

Node MemoryBranch::text_node(std::string text) const {
  const std::uint64_t size = text.size();
  return {.type = delta::EntryType::kRegular,
          .mode = 0444,
          .mtime = time_,
          .size = size,
          .content = std::make_shared<const std::string>(std::move(text))};
}

std::string MemoryBranch::maps_of(const ProcessMemory& process) const {
  std::string text;
  for (const Region& region : process.process.regions) {
    const RegionFacts facts = facts_of(process, region);
    text += fmt::format("{:012x}-{:012x} {} {:08x} {} {}/{}{}{}\n", region.start, region.end, protection_text(region),
                        region.offset, engine::region_kind_name(region.kind), facts.saved, facts.pages,
                        region.name.empty() ? "" : " ", printable(region.name, 4096));
  }
  return text;
}

std::optional<Node> MemoryBranch::find(std::string_view path) const {
  if (path.empty()) return Node{.mode = 0500, .mtime = time_};
  const std::size_t slash = path.find('/');
  const std::string_view number = path.substr(0, slash);
  std::uint32_t pid = 0;
  const auto [end, problem] = std::from_chars(number.data(), number.data() + number.size(), pid);
  const auto process = processes_.find(pid);
  if (problem != std::errc() || process == processes_.end() || std::to_string(pid) != number) return std::nullopt;
  if (slash == std::string_view::npos) return Node{.mode = 0500, .mtime = time_};
  const std::string_view name = path.substr(slash + 1);
  if (name == "comm") return text_node(process->second.process.name + '\n');
  if (name == "maps") return text_node(maps_of(process->second));
  std::uint64_t start = 0;
  if (std::from_chars(name.data(), name.data() + name.size(), start, 16).ec != std::errc()) return std::nullopt;
  const Region* region = engine::region_at(process->second.process.regions, start);
  if (region == nullptr || region_file_name(*region) != name) return std::nullopt;
  return region_node(process->second, *region);
}

Status MemoryBranch::list_process(const ProcessMemory& process, const VisitNode& visit) const {
  for (const Region& region : process.process.regions) {
    CACS_TRY(visit(region_file_name(region), region_node(process, region)));
  }
  CACS_TRY(visit("comm", text_node(process.process.name + '\n')));
  return visit("maps", text_node(maps_of(process)));
}

Status MemoryBranch::list(std::string_view path, const VisitNode& visit) const {
  if (path.empty()) {
    for (const auto& [pid, process] : processes_) {
      CACS_TRY(visit(std::to_string(pid), Node{.mode = 0500, .mtime = time_}));
    }
    return {};
  }
  for (const auto& [pid, process] : processes_) {
    if (std::to_string(pid) == path) return list_process(process, visit);
  }
  return {};
}

}  // namespace cacs::inspect
