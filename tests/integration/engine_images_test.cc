// What is read of the images of a real dump, against what the kernel says of the processes. Needs root and an engine.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <algorithm>
#include <set>

#include "base/io.h"
#include "base/process.h"
#include "base/text.h"
#include "engine/criu.h"
#include "engine/criu_pagemap.h"
#include "engine/criu_regions.h"
#include "process_memory.h"

namespace cacs::engine {
namespace {

using Maps = std::map<std::string, PageMapOf>;

class EngineImages : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    std::string pattern = "/tmp/cacs-images-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    ASSERT_TRUE(make_directories(images()).ok());
    ASSERT_TRUE(write_file_durably(directory_ / "file", std::string(4 * kPageBytes, 'f')).ok());
    start_program();
    if (HasFatalFailure()) return;
    for (const pid_t pid : {program_->pid(), child_}) {
      auto memory = read_process_memory(pid);
      ASSERT_TRUE(memory.ok()) << memory.error().to_string();
      memory_[pid] = *std::move(memory);
    }
    dump();
  }

  void TearDown() override {
    program_.reset();  // which takes its child with it
    EXPECT_TRUE(remove_tree(directory_).ok());
  }

  /// Whether memory of System V has the number of other shared memory.
  virtual bool same_numbers() const { return false; }

  std::filesystem::path images() const { return directory_ / "images"; }

  /// Starts it, and waits until it and its child have stopped with all their memory in place.
  void start_program() {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const UniqueFd ours(ends[0]);
    UniqueFd theirs(ends[1]);
    const auto program =
        std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().parent_path() / "programs/regions";
    Command command;
    command.argv = {program.string(), (directory_ / "file").string()};
    if (same_numbers()) command.argv.emplace_back("same");
    // The kernel would write to memory of restartable sequences while the engine has the process run for it.
    command.env = {"GLIBC_TUNABLES=glibc.pthread.rseq=0"};
    command.fds = {{theirs.get(), STDOUT_FILENO}, {theirs.get(), STDERR_FILENO}};
    command.new_session = true;
    auto started = spawn(command);
    ASSERT_TRUE(started.ok()) << started.error().to_string();
    program_ = std::make_unique<Child>(*std::move(started));
    theirs.reset();
    siginfo_t info = {};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(program_->pid()), &info, WSTOPPED | WEXITED | WNOWAIT), 0);
    ASSERT_EQ(info.si_code, CLD_STOPPED) << "the program has ended with " << info.si_status;
    const std::string pid = std::to_string(program_->pid());
    const auto children = read_text_file("/proc/" + pid + "/task/" + pid + "/children");
    ASSERT_TRUE(children.ok()) << children.error().to_string();
    const auto pids = split(trim(*children), ' ');
    ASSERT_EQ(pids.size(), 2U);
    zombie_ = std::stoi(pids[0]);
    child_ = std::stoi(pids[1]);
  }

  void dump() const {
    const auto criu = find_criu();
    ASSERT_TRUE(criu.ok()) << criu.error().to_string();
    struct stat network = {};
    ASSERT_EQ(::stat("/proc/self/ns/net", &network), 0);
    DumpRequest request;
    request.init = program_->pid();
    request.images = images();
    request.network_inode = network.st_ino;
    request.notify = "/bin/true";
    const auto engine = make_criu(*criu);
    const auto dumped = run_command(engine->dump_command(request));
    ASSERT_TRUE(dumped.ok()) << dumped.error().to_string();
    ASSERT_TRUE(dumped->status.success()) << dumped->err << read_text_file(engine->dump_log(images())).value();
  }

  Maps list_maps() const {
    auto maps = list_page_maps(images());
    EXPECT_TRUE(maps.ok()) << maps.error().to_string();
    return maps ? *maps : Maps();
  }

  std::vector<Process> list() const {
    auto processes = list_processes(images());
    EXPECT_TRUE(processes.ok()) << processes.error().to_string();
    return processes ? *processes : std::vector<Process>();
  }

  std::string pages_file(const std::string& name) const {
    return read_text_file(images() / name, std::size_t{256} << 20U).value();
  }

  std::filesystem::path directory_;
  std::unique_ptr<Child> program_;
  pid_t zombie_ = 0;
  pid_t child_ = 0;
  std::map<pid_t, ProcessMemory> memory_;  // before the dump
};

/// Calls `look` with the address of every page of a map, and its bytes in the pages file.
template <typename Look>
void for_each_page(const PageMap& map, const std::string& file, const Look& look) {
  std::size_t at = 0;
  for (const auto& extent : map.extents) {
    for (std::uint64_t page = 0; page < extent.pages; ++page, at += kPageBytes) {
      look(extent.address + page * kPageBytes, std::string_view(file).substr(at, kPageBytes));
    }
  }
  EXPECT_EQ(at, file.size());
}

const PageMapOf* find_map(const Maps& maps, PagesOf kind, std::uint64_t id) {
  for (const auto& [name, owned] : maps) {
    if (owned.kind == kind && owned.id == id) return &owned;
  }
  return nullptr;
}

/// The mapping that a page is in, as the kernel shows it: "r-xp [vdso]".
std::string mapping_of(const ProcessMemory& memory, std::uint64_t address) {
  for (const auto& mapping : memory.mappings) {
    if (mapping.start <= address && address < mapping.end) return mapping.permissions + ' ' + mapping.name;
  }
  return "none";
}

/// Addresses of all pages of a process's map, each of which has to be in its memory as it was, byte for byte.
std::set<std::uint64_t> compare(const PageMap& map, const std::string& file, const ProcessMemory& memory) {
  std::set<std::uint64_t> saved;
  for_each_page(map, file, [&](std::uint64_t address, std::string_view bytes) {
    const auto page = memory.pages.find(address);
    ASSERT_NE(page, memory.pages.end()) << std::hex << address << " was not there: " << mapping_of(memory, address);
    EXPECT_TRUE(page->second.bytes == bytes) << std::hex << address << " differs: " << mapping_of(memory, address);
    saved.insert(address);
  });
  return saved;
}

TEST_F(EngineImages, PagesOfAProcessAreItsMemoryAndAllOfIt) {
  const auto maps = list_maps();
  for (const auto& [pid, memory] : memory_) {
    const auto* owned = find_map(maps, PagesOf::kTask, static_cast<std::uint64_t>(pid));
    ASSERT_NE(owned, nullptr) << "no page map of process " << pid;
    EXPECT_EQ(owned->map.pages_elsewhere, 0U);
    const auto saved = compare(owned->map, pages_file("pages-" + std::to_string(owned->map.pages_id) + ".img"), memory);
    std::size_t own = 0;
    std::size_t borrowed = 0;
    for (const auto& [address, page] : memory.pages) {
      if (page.own) {
        ++own;
        EXPECT_TRUE(saved.contains(address)) << std::hex << address << " not saved: " << mapping_of(memory, address);
      } else if (saved.contains(address)) {
        // The kernel's code; and the page of code that CRIU borrows for instructions of its own and sets back.
        const std::string mapping = mapping_of(memory, address);
        EXPECT_TRUE(mapping.starts_with("r-xp ")) << std::hex << address << ' ' << mapping;
        if (mapping != "r-xp [vdso]") ++borrowed;
      }
    }
    EXPECT_GE(own, 4096U + 100U);  // what the program has filled, at least
    EXPECT_LE(borrowed, 1U);
  }
}

TEST_F(EngineImages, PagesOfSharedMemoryAreWhatProcessesSee) {
  const auto maps = list_maps();
  std::set<std::uint64_t> seen;
  for (const auto& process : list()) {
    if (process.regions.empty()) continue;
    const auto& before = memory_.at(static_cast<pid_t>(process.pid)).pages;
    for (const auto& region : process.regions) {
      if (!region.shared_id) continue;
      const PagesOf kind = region.kind == RegionKind::kMemfd ? PagesOf::kMemfd : PagesOf::kSharedMemory;
      const auto* owned = find_map(maps, kind, *region.shared_id);
      ASSERT_NE(owned, nullptr) << "no page map of shared memory " << *region.shared_id;
      EXPECT_EQ(owned->name, region.name);
      seen.insert(*region.shared_id);
      std::map<std::uint64_t, std::string> saved;
      for_each_page(
          owned->map, pages_file("pages-" + std::to_string(owned->map.pages_id) + ".img"),
          [&](std::uint64_t offset, std::string_view bytes) { saved[region.start + offset - region.offset] = bytes; });
      std::size_t compared = 0;
      for (auto page = before.lower_bound(region.start); page != before.end() && page->first < region.end; ++page) {
        const auto same = saved.find(page->first);
        ASSERT_NE(same, saved.end()) << "not saved: " << std::hex << page->first;
        EXPECT_TRUE(same->second == page->second.bytes) << "differs: " << std::hex << page->first;
        ++compared;
      }
      // Its parent has filled every page that there is; a child sees those that it has looked at: none.
      if (process.parent == 0) {
        EXPECT_EQ(compared, saved.size());
        EXPECT_GE(compared, 5U);
      }
    }
  }
  EXPECT_EQ(seen.size(), 3U);
}

TEST_F(EngineImages, EveryPagesFileIsOfSomethingKnown) {
  std::map<PagesOf, std::size_t> kinds;
  for (const auto& [file, owned] : list_maps()) {
    ++kinds[owned.kind];
    if (owned.name != "unmapped") continue;
    // No process maps it, but one has it open.
    EXPECT_EQ(owned.map.extents, (std::vector<Extent>{{0, 1}}));
    EXPECT_EQ(pages_file(file), "only written" + std::string(kPageBytes - 12, '\0'));
  }
  EXPECT_EQ(kinds,
            (std::map<PagesOf, std::size_t>{{PagesOf::kTask, 2}, {PagesOf::kSharedMemory, 2}, {PagesOf::kMemfd, 2}}));
}

/// What the kernel's line says of a mapping, in our words.
Region region_of(const Mapping& mapping) {
  const auto has = [&](std::size_t at, char letter) { return mapping.permissions.at(at) == letter; };
  Region region;
  region.start = mapping.start;
  region.end = mapping.end;
  region.offset = mapping.offset;
  region.protection = static_cast<std::uint32_t>((has(0, 'r') ? PROT_READ : 0) | (has(1, 'w') ? PROT_WRITE : 0) |
                                                 (has(2, 'x') ? PROT_EXEC : 0));
  region.flags = has(3, 's') ? MAP_SHARED : MAP_PRIVATE;
  const std::string_view name = mapping.name;
  if (name.empty()) {
    region.kind = RegionKind::kAnonymous;
  } else if (name == "[heap]") {
    region.kind = RegionKind::kHeap;
  } else if (name == "[stack]") {
    region.kind = RegionKind::kStack;
  } else if (name.starts_with("[")) {
    region.kind = RegionKind::kKernel;
    region.name = name;
  } else if (name == "/memfd:board (deleted)") {
    region.kind = RegionKind::kMemfd;
    region.name = "board";
  } else if (name == "/dev/zero (deleted)" || name.starts_with("/SYSV")) {
    region.kind = RegionKind::kSharedMemory;
  } else {
    region.kind = RegionKind::kFile;
    region.name = name;
  }
  return region;
}

/// The kernel's list, as CRIU puts it: the pages of [vvar] and [vvar_vclock] are one mapping.
std::vector<Region> regions_of(const std::vector<Mapping>& mappings) {
  std::vector<Region> regions;
  for (const auto& mapping : mappings) {
    if (mapping.name == "[vvar_vclock]" && regions.back().name == "[vvar]") {
      regions.back().end = mapping.end;
    } else {
      regions.push_back(region_of(mapping));
    }
  }
  return regions;
}

TEST_F(EngineImages, RegionsAreTheKernelsOwn) {
  for (const auto& process : list()) {
    if (process.regions.empty()) continue;
    auto regions = process.regions;
    for (auto& region : regions) {
      region.shared_id.reset();  // not shown in the kernel's list, and compared elsewhere
      region.flags &= MAP_SHARED | MAP_PRIVATE;
    }
    const auto expected = regions_of(memory_.at(static_cast<pid_t>(process.pid)).mappings);
    ASSERT_EQ(regions.size(), expected.size());
    std::set<RegionKind> kinds;
    for (std::size_t i = 0; i < regions.size(); ++i) {
      EXPECT_EQ(regions[i], expected[i]) << std::hex << expected[i].start << ' ' << expected[i].name << ": "
                                         << region_kind_name(regions[i].kind) << ' ' << regions[i].name;
      kinds.insert(regions[i].kind);
    }
    EXPECT_EQ(kinds.size(), 7U);  // all but kOther
  }
}

TEST_F(EngineImages, EveryPageIsInARegion) {
  const auto maps = list_maps();
  for (const auto& process : list()) {
    const auto* owned = find_map(maps, PagesOf::kTask, process.pid);
    EXPECT_EQ(owned == nullptr, process.regions.empty());
    if (owned == nullptr) continue;
    for (const auto& extent : owned->map.extents) {
      for (std::uint64_t page = 0; page < extent.pages; ++page) {
        const auto* region = region_at(process.regions, extent.address + page * kPageBytes);
        ASSERT_NE(region, nullptr) << std::hex << extent.address;
        EXPECT_NE(region->flags & MAP_PRIVATE, 0U);
      }
    }
  }
}

TEST_F(EngineImages, ProcessesHaveTheirNamesAndParents) {
  auto processes = list();
  for (auto& process : processes) {
    EXPECT_EQ(process.regions.empty(), process.pid == static_cast<std::uint32_t>(zombie_));
    process.regions.clear();
  }
  const auto root = static_cast<std::uint32_t>(program_->pid());
  const std::vector<Process> expected = {{root, 0, "many (regions)", {}},
                                         {static_cast<std::uint32_t>(zombie_), root, "many (regions)", {}},
                                         {static_cast<std::uint32_t>(child_), root, "child", {}}};
  EXPECT_TRUE(std::is_permutation(processes.begin(), processes.end(), expected.begin(), expected.end()));
}

class EngineImagesOfSameNumbers : public EngineImages {
  bool same_numbers() const override { return true; }
};

TEST_F(EngineImagesOfSameNumbers, ADumpThatHasLostMemoryIsRefused) {
  // CRIU reports success, and has written the map of one memory over that of the other.
  const auto maps = list_page_maps(images());
  ASSERT_FALSE(maps.ok());
  EXPECT_EQ(maps.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(maps.error().message.find("has no page map"), std::string::npos) << maps.error().message;
}

}  // namespace
}  // namespace cacs::engine
