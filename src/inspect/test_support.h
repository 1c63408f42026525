#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "agent/checkpoint_store.h"
#include "delta/capture.h"
#include "engine/criu_image.pb.h"
#include "engine/test_support.h"
#include "inspect/tree.h"
#include "repository/test_support.h"

namespace cacs::inspect {

/// Addresses of the process that TestCheckpoints dumps.
inline constexpr std::uint64_t kHeapStart = 0x5000000000;      ///< 8 pages, of which some are saved
inline constexpr std::uint64_t kFileStart = 0x7f0000000000;    ///< 4 pages of /bin/program, of which one is saved
inline constexpr std::uint64_t kSharedStart = 0x7f0000100000;  ///< 2 pages of shared memory 5, from its page 1
inline constexpr std::uint64_t kPage = 4096;

/// What is in the heap of a test's process: page number in the heap to the byte that fills it.
using HeapPages = std::map<std::uint64_t, char>;

/// A repository on disk, as an agent has it, and a pod whose files are a plain directory and whose memory is images
/// made by hand. Everything goes through the agent's own store.
class TestCheckpoints {
 public:
  TestCheckpoints() {
    for (const auto& folder : {files(), shared(), staging()}) std::filesystem::create_directories(folder);
    auto opened = agent::CheckpointStore::open(repository_path());
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    store_ = *std::move(opened);
  }

  [[nodiscard]] std::filesystem::path repository_path() const { return directory_.path() / "repository"; }
  [[nodiscard]] std::filesystem::path files() const { return directory_.path() / "files"; }
  [[nodiscard]] std::filesystem::path shared() const { return directory_.path() / "shared"; }
  [[nodiscard]] std::filesystem::path staging() const { return directory_.path() / "staging"; }
  [[nodiscard]] std::filesystem::path at(const std::string& name) const { return directory_.path() / name; }
  repository::Repository& repository() { return store_->repository(); }

  void write(const std::string& path, std::string_view bytes) const {
    std::filesystem::create_directories((files() / path).parent_path());
    ASSERT_TRUE(write_file_durably(files() / path, bytes, 0640).ok());
  }

  /// A checkpoint of the files and this memory; its id.
  std::string take(const HeapPages& heap, char shared_byte = 's', const std::string& application = "app") {
    std::string id = new_uuid();
    store(id, heap, shared_byte, application);
    return id;
  }

  std::shared_ptr<CheckpointTree> tree(const std::string& checkpoint) {
    auto opened = CheckpointTree::open(repository(), checkpoint);
    EXPECT_TRUE(opened.ok()) << opened.error().to_string();
    return *opened;
  }

  /// All bytes of a file of a tree.
  std::string bytes(CheckpointTree& tree, const std::string& path, std::uint64_t offset = 0,
                    std::size_t limit = 1U << 24U) {
    const auto node = tree.find(path);
    EXPECT_TRUE(node.ok()) << path << ": " << (node.ok() ? "" : node.error().to_string());
    if (!node.ok()) return {};
    auto reader = open_file_reader(repository(), *node);
    EXPECT_TRUE(reader.ok()) << reader.error().to_string();
    if (!reader.ok()) return {};
    std::string text(limit, '?');
    const auto got = (*reader)->read_at(offset, std::as_writable_bytes(std::span(text)));
    EXPECT_TRUE(got.ok()) << got.error().to_string();
    text.resize(got.ok() ? *got : 0);
    return text;
  }

 private:
  static std::string mapping(std::uint64_t start, std::uint64_t pages, std::uint32_t status, std::uint32_t flags,
                             std::uint64_t shared_id = 0, std::uint64_t offset = 0) {
    engine::image::Region region;
    region.set_start(start);
    region.set_end(start + pages * kPage);
    region.set_offset(offset);
    region.set_shared_id(shared_id);
    region.set_protection(PROT_READ | PROT_WRITE);
    region.set_flags(flags);
    region.set_status(status);
    const std::string bytes = region.SerializeAsString();
    return std::string("\x72") + static_cast<char>(bytes.size()) + bytes;
  }

  static std::string page_map(std::uint32_t id, const std::vector<std::uint64_t>& addresses) {
    engine::image::PageMapHead head;
    head.set_pages_id(id);
    std::string image = engine::test_image(engine::kPageMapMagic, {head.SerializeAsString()});
    for (const std::uint64_t address : addresses) {
      engine::image::PageMapEntry entry;
      entry.set_address(address);
      entry.set_pages(1);
      entry.set_flags(4);
      image += engine::test_entry(entry.SerializeAsString());
    }
    return image;
  }

  static void write_images(const engine::TestImages& images, const HeapPages& heap, char shared_byte) {
    engine::image::Process process;
    process.set_pid(1);
    process.set_parent(0);
    engine::image::Core core;
    core.mutable_task()->set_name("worker");
    engine::image::NamedFile file;
    file.set_id(9);
    file.mutable_regular()->set_name("/bin/program");
    constexpr std::uint32_t kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;
    const std::string memory = mapping(kHeapStart, 8, 0x221, kPrivate) + mapping(kFileStart, 4, 0x41, MAP_PRIVATE, 9) +
                               mapping(kSharedStart, 2, 0x501, MAP_SHARED | MAP_ANONYMOUS, 5, kPage);
    std::vector<std::uint64_t> addresses;
    std::string pages;
    for (const auto& [page, byte] : heap) {
      addresses.push_back(kHeapStart + page * kPage);
      pages += std::string(kPage, byte);
    }
    addresses.push_back(kFileStart + kPage);
    pages += std::string(kPage, 'f');
    ASSERT_TRUE(
        images.write("pstree.img", engine::test_image(engine::kProcessTreeMagic, {process.SerializeAsString()})));
    ASSERT_TRUE(images.write("core-1.img", engine::test_image(engine::kCoreMagic, {core.SerializeAsString()})));
    ASSERT_TRUE(images.write("files.img", engine::test_image(engine::kFilesMagic, {file.SerializeAsString()})));
    ASSERT_TRUE(images.write("mm-1.img", engine::test_image(engine::kMemoryMagic, {memory})));
    ASSERT_TRUE(images.write("pagemap-1.img", page_map(1, addresses)));
    ASSERT_TRUE(images.write("pages-1.img", pages));
    ASSERT_TRUE(images.write("pagemap-shmem-5.img", page_map(2, {0, kPage})));
    ASSERT_TRUE(images.write("pages-2.img", std::string(kPage, '0') + std::string(kPage, shared_byte)));
  }

  void store(const std::string& id, const HeapPages& heap, char shared_byte, const std::string& application) {
    const engine::TestImages images;
    write_images(images, heap, shared_byte);
    std::vector<agent::CapturedTree> trees;
    for (const auto& [name, root] : {std::pair("delta", files()), std::pair("shm", shared())}) {
      auto snapshot = delta::capture(root, staging(), {});
      ASSERT_TRUE(snapshot.ok()) << snapshot.error().to_string();
      trees.push_back({name, *std::move(snapshot)});
    }
    auto piece = store_->store_piece("pod-0", {.images = images.path(), .trees = trees, .last_memory = memory_},
                                     {{"what", "a test"}}, {});
    ASSERT_TRUE(piece.ok()) << piece.error().to_string();
    memory_ = piece->memory;
    repository::Manifest head;
    head.checkpoint = id;
    head.application = application;
    head.incarnation = 3;
    head.created_at = "2026-11-21T10:20:30.400Z";
    head.meta = {{"name", "lj-melt"}};
    const Status committed = repository().commit_checkpoint(head, {piece->id});
    ASSERT_TRUE(committed.ok()) << committed.error().to_string();
  }

  repository::TemporaryDirectory directory_;
  std::unique_ptr<agent::CheckpointStore> store_;
  agent::StoredMemory memory_;
};

}  // namespace cacs::inspect
