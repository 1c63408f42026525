#include "engine/criu_regions.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <set>

#include "engine/criu_image.pb.h"
#include "engine/test_support.h"

namespace cacs::engine {
namespace {

constexpr std::uint32_t kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;

image::Region mapping(std::uint64_t start, std::uint64_t end, std::uint32_t status, std::uint64_t shared_id = 0,
                      std::uint32_t flags = kPrivate) {
  image::Region made;
  made.set_start(start);
  made.set_end(end);
  made.set_offset(0);
  made.set_shared_id(shared_id);
  made.set_protection(PROT_READ | PROT_WRITE);
  made.set_flags(flags);
  made.set_status(status);
  return made;
}

std::string field(unsigned number, std::string_view bytes) {
  return std::string(1, static_cast<char>((number << 3U) | 2U)) + static_cast<char>(bytes.size()) + std::string(bytes);
}

/// Fields 1 (a number) and 5 (the stack's start), the mappings, and then fields of every other form.
std::string memory(std::initializer_list<image::Region> mappings, std::uint8_t start_stack = 0) {
  std::string message = std::string("\x08\x01\x28") + static_cast<char>(start_stack);
  for (const auto& made : mappings) message += field(14, made.SerializeAsString());
  message += std::string("\x79") + "12345678" + "\x7d" + "1234" + field(15, "a") + "\x78\x01";
  return message;
}

std::string memory_image(std::initializer_list<image::Region> mappings, std::uint8_t start_stack = 0) {
  return test_image(kMemoryMagic, {memory(mappings, start_stack)});
}

std::string problem(const std::string& image) {
  const auto regions = parse_regions(image, {});
  if (regions) return "";
  EXPECT_EQ(regions.error().code, ErrorCode::kCorrupt);
  return regions.error().message;
}

MappedFiles some_files() {
  MappedFiles files;
  files.paths = {{1, "/bin/program"}};
  files.memfds = {{2, 10}, {3, 11}, {6, 99}};
  files.memory = {{10, {"board", false, 4, 100}}, {11, {"", true, 3, 100}}};
  return files;
}

TEST(CriuRegions, EveryKindIsTold) {
  // The words are those of real dumps.
  struct Case {
    std::uint32_t status;
    std::uint64_t shared_id;
    RegionKind kind;
    std::string name;
    std::optional<std::uint64_t> of;
  };
  const std::vector<Case> cases = {
      {0x41, 1, RegionKind::kFile, "/bin/program", std::nullopt},
      {0x81, 1, RegionKind::kFile, "/bin/program", std::nullopt},
      {0x41, 77, RegionKind::kFile, "", std::nullopt},
      {0x201, 0, RegionKind::kAnonymous, "", std::nullopt},
      {0x221, 0, RegionKind::kHeap, "", std::nullopt},
      {0x4081, 2, RegionKind::kMemfd, "board", 4},
      {0x4041, 2, RegionKind::kMemfd, "board", 4},
      {0x4081, 3, RegionKind::kSharedMemory, "", 3},
      {0x4081, 5, RegionKind::kMemfd, "", std::nullopt},
      {0x4081, 6, RegionKind::kMemfd, "", std::nullopt},
      {0x501, 0, RegionKind::kSharedMemory, "", 0},
      {0x101, 8, RegionKind::kSharedMemory, "", 8},
      {0x1201, 0, RegionKind::kKernel, "[vvar]", std::nullopt},
      {0x209, 0, RegionKind::kKernel, "[vdso]", std::nullopt},
      {0x204, 0, RegionKind::kKernel, "[vsyscall]", std::nullopt},
      {0x20000, 0, RegionKind::kKernel, "[uprobes]", std::nullopt},
      {0x2000, 0, RegionKind::kOther, "", std::nullopt},
      {0x801, 0, RegionKind::kOther, "", std::nullopt},
      {0x8000041, 1, RegionKind::kOther, "", std::nullopt},
      {0, 0, RegionKind::kOther, "", std::nullopt},
  };
  for (const auto& each : cases) {
    auto made = mapping(0x1000, 0x3000, each.status, each.shared_id);
    made.set_offset(0x5000);
    const auto regions = parse_regions(memory_image({made}), some_files());
    ASSERT_TRUE(regions.ok()) << regions.error().to_string();
    const Region expected = {0x1000, 0x3000, PROT_READ | PROT_WRITE, kPrivate, each.kind, each.name, 0x5000, each.of};
    ASSERT_EQ(regions->size(), 1U);
    EXPECT_EQ(regions->front(), expected) << std::hex << each.status << ' ' << region_kind_name(regions->front().kind);
  }
}

TEST(CriuRegions, TheStackIsWhereTheProcessBegan) {
  // 0x50 is in the first page.
  auto regions = parse_regions(memory_image({mapping(0, 0x1000, 0x201), mapping(0x1000, 0x2000, 0x201)}, 0x50), {});
  ASSERT_TRUE(regions.ok()) << regions.error().to_string();
  EXPECT_EQ(regions->at(0).kind, RegionKind::kStack);
  EXPECT_EQ(regions->at(1).kind, RegionKind::kAnonymous);
  regions = parse_regions(memory_image({mapping(0x1000, 0x2000, 0x201)}, 0x50), {});
  EXPECT_EQ(regions->at(0).kind, RegionKind::kAnonymous);
  regions = parse_regions(memory_image({mapping(0, 0x1000, 0x41)}, 0x50), {});
  EXPECT_EQ(regions->at(0).kind, RegionKind::kFile);
}

TEST(CriuRegions, GuardMarkersAreNoRegions) {
  const auto regions =
      parse_regions(memory_image({mapping(0x4000, 0x8000, 0x201), mapping(0x5000, 0x6000, 0x10000)}), {});
  ASSERT_TRUE(regions.ok()) << regions.error().to_string();
  ASSERT_EQ(regions->size(), 1U);
  EXPECT_EQ(regions->front().start, 0x4000U);
}

TEST(CriuRegions, AddressesAreHeldToPagesAndOrder) {
  EXPECT_EQ(problem(memory_image({mapping(0x1000, 0x2000, 1), mapping(0x2000, 0x3000, 1)})), "");
  EXPECT_EQ(problem(memory_image({mapping(0xffffffffff600000, 0xffffffffff601000, 0x204)})), "");
  constexpr const char* kPages = "not those of pages";
  EXPECT_NE(problem(memory_image({mapping(0x1001, 0x2000, 1)})).find(kPages), std::string::npos);
  EXPECT_NE(problem(memory_image({mapping(0x1000, 0x2001, 1)})).find(kPages), std::string::npos);
  EXPECT_NE(problem(memory_image({mapping(0x1000, 0x1000, 1)})).find(kPages), std::string::npos);
  EXPECT_NE(problem(memory_image({mapping(0x2000, 0x1000, 1)})).find(kPages), std::string::npos);
  EXPECT_NE(problem(memory_image({image::Region()})).find(kPages), std::string::npos);
  constexpr const char* kOrder = "order of their addresses";
  EXPECT_NE(problem(memory_image({mapping(0x2000, 0x3000, 1), mapping(0x1000, 0x2000, 1)})).find(kOrder),
            std::string::npos);
  EXPECT_NE(problem(memory_image({mapping(0x1000, 0x3000, 1), mapping(0x2000, 0x4000, 1)})).find(kOrder),
            std::string::npos);
}

TEST(CriuRegions, WhatIsNoImageOfMemoryIsRefused) {
  const std::string message = memory({mapping(0x1000, 0x2000, 1), mapping(0x2000, 0x3000, 1)});
  ASSERT_EQ(problem(test_image(kMemoryMagic, {message})), "");
  // Cut anywhere within a field, as a whole entry: where the fields end is where it may end.
  const std::size_t one = field(14, mapping(0x1000, 0x2000, 1).SerializeAsString()).size();
  const std::set<std::size_t> ends = {
      0, 2, 4, 4 + one, 4 + 2 * one, 4 + 2 * one + 9, 4 + 2 * one + 14, 4 + 2 * one + 17};
  for (std::size_t length = 0; length < message.size(); ++length) {
    const std::string said = problem(test_image(kMemoryMagic, {message.substr(0, length)}));
    EXPECT_EQ(said.empty(), ends.contains(length)) << length << ": " << said;
  }
  const std::string image = test_image(kMemoryMagic, {message});
  for (std::size_t length = 0; length < image.size(); ++length) EXPECT_NE(problem(image.substr(0, length)), "");
  EXPECT_NE(problem(test_image(kMemoryMagic, {message, message})).find("more than one"), std::string::npos);
  EXPECT_NE(problem(test_image(kMemoryMagic, {})).find("empty"), std::string::npos);
  EXPECT_NE(problem(test_image(kCoreMagic, {message})).find("does not begin"), std::string::npos);
  // A tag of zero, a group, and a field said to be longer than what there is.
  for (const std::string& bytes : {std::string(1, '\0'), std::string("\x0b\x0c"), std::string("\x72\xff\xff\xff\x7f"),
                                   std::string("\x7a\xff\xff\xff\xff\x0f")}) {
    EXPECT_NE(problem(test_image(kMemoryMagic, {bytes})).find("cannot be read"), std::string::npos);
  }
}

TEST(CriuRegions, TheRegionOfAnAddress) {
  std::vector<Region> regions(2);
  regions[0].start = 0x1000;
  regions[0].end = 0x3000;
  regions[1].start = 0x5000;
  regions[1].end = 0x6000;
  EXPECT_EQ(region_at(regions, 0xfff), nullptr);
  EXPECT_EQ(region_at(regions, 0x1000), &regions[0]);
  EXPECT_EQ(region_at(regions, 0x2fff), &regions[0]);
  EXPECT_EQ(region_at(regions, 0x3000), nullptr);
  EXPECT_EQ(region_at(regions, 0x4fff), nullptr);
  EXPECT_EQ(region_at(regions, 0x5000), &regions[1]);
  EXPECT_EQ(region_at(regions, 0x6000), nullptr);
  EXPECT_EQ(region_at({}, 0), nullptr);
}

std::string process(std::uint32_t pid, std::uint32_t parent) {
  image::Process made;
  made.set_pid(pid);
  made.set_parent(parent);
  return made.SerializeAsString() + "\x18\x01\x28\x01";  // group, and a thread
}

std::string core(const std::string& name) {
  image::Core made;
  made.mutable_task()->set_name(name);
  return "\x08\x01" + made.SerializeAsString();
}

TEST(CriuProcesses, TheTree) {
  const auto tree = parse_process_tree(test_image(kProcessTreeMagic, {process(1, 0), process(7, 1), process(3, 7)}));
  ASSERT_TRUE(tree.ok()) << tree.error().to_string();
  ASSERT_EQ(tree->size(), 3U);
  EXPECT_EQ(tree->at(2).pid, 3U);
  EXPECT_EQ(tree->at(2).parent, 7U);
  const auto said = [](std::initializer_list<std::string> entries) {
    const auto parsed = parse_process_tree(test_image(kProcessTreeMagic, entries));
    return parsed ? "" : parsed.error().message;
  };
  EXPECT_NE(said({process(7, 1), process(1, 0)}).find("process 7 before its parent"), std::string::npos);
  EXPECT_NE(said({process(7, 7)}).find("process 7 before its parent"), std::string::npos);
  EXPECT_NE(said({process(1, 0), process(1, 0)}).find("process 1 twice"), std::string::npos);
  EXPECT_NE(said({process(0, 0)}).find("without a number"), std::string::npos);
  EXPECT_NE(said({process(4194305, 0)}).find("without a number"), std::string::npos);
  EXPECT_NE(said({}).find("empty"), std::string::npos);
}

TEST(CriuProcesses, TheName) {
  EXPECT_EQ(*parse_process_name(test_image(kCoreMagic, {core("many (regions)")})), "many (regions)");
  EXPECT_EQ(*parse_process_name(test_image(kCoreMagic, {core("")})), "");
  EXPECT_FALSE(parse_process_name(test_image(kCoreMagic, {core(std::string(16, 'a'))})).ok());
  EXPECT_FALSE(parse_process_name(test_image(kCoreMagic, {})).ok());
  EXPECT_FALSE(parse_process_name(test_image(kCoreMagic, {"\x08\x01"})).ok());
  EXPECT_FALSE(parse_process_name("core").ok());
}

TEST(CriuProcesses, OfADirectory) {
  const TestImages images;
  EXPECT_EQ(list_processes(images.path()).error().code, ErrorCode::kNotFound);
  ASSERT_TRUE(images.write("pstree.img", test_image(kProcessTreeMagic, {process(1, 0), process(7, 1)})));
  image::NamedFile file;
  file.set_id(1);
  file.mutable_regular()->set_name("/bin/program");
  ASSERT_TRUE(images.write("files.img", test_image(kFilesMagic, {file.SerializeAsString()})));
  ASSERT_TRUE(images.write("core-1.img", test_image(kCoreMagic, {core("init")})));
  ASSERT_TRUE(images.write("mm-1.img", memory_image({mapping(0x1000, 0x2000, 0x41, 1)})));
  EXPECT_NE(list_processes(images.path()).error().message.find("core-7.img"), std::string::npos);
  ASSERT_TRUE(images.write("core-7.img", test_image(kCoreMagic, {core("ended")})));
  const auto processes = list_processes(images.path());
  ASSERT_TRUE(processes.ok()) << processes.error().to_string();
  ASSERT_EQ(processes->size(), 2U);
  EXPECT_EQ(processes->at(0).name, "init");
  ASSERT_EQ(processes->at(0).regions.size(), 1U);
  EXPECT_EQ(processes->at(0).regions.front().name, "/bin/program");
  EXPECT_EQ(processes->at(1), (Process{7, 1, "ended", {}}));
  ASSERT_TRUE(images.write("mm-7.img", "x"));
  EXPECT_NE(list_processes(images.path()).error().message.find("mm-7.img"), std::string::npos);
}

}  // namespace
}  // namespace cacs::engine
