#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "repository/pack_store.h"
#include "repository/pack_writer.h"
#include "repository/page_node.h"
#include "repository/types.h"

/// A file as a tree: a list of content-defined chunks, in nodes that end where the content says so, so that a change
/// stores only the nodes around it anew. docs/repository-format.md has the bytes.
namespace cacs::repository {

inline constexpr std::size_t kMaxFileNodeEntries = 1024;
inline constexpr std::uint8_t kMaxFileHeight = 8;
inline constexpr std::uint64_t kMaxBlobBytes = kMaxPages * kPageBytes;

/// A chunk, or a node of the level below, and the bytes of the file that it stands for; without a ref a run of zeros
/// (level 0 only).
struct FileEntry {
  std::uint64_t length = 0;
  Ref ref;
};
using FileNode = std::vector<FileEntry>;

std::string encode_file_node(const FileNode& node, std::uint8_t level, const PackCatalog& catalog);
/// `level` and `size` are what is expected.
Result<FileNode> parse_file_node(std::span<const std::byte> bytes, std::uint8_t level, std::uint64_t size,
                                 PackCatalog& catalog);

/// Builds the tree of one blob from its chunks in order. One thread at a time.
class FileTreeBuilder {
 public:
  FileTreeBuilder(PackStore& store, PackWriter& packs, ContentHasher& hasher)
      : store_(store), packs_(packs), hasher_(hasher) {}

  Status add_chunk(std::span<const std::byte> bytes, StreamKind kind);
  Status add_zeros(std::uint64_t bytes);
  Result<BlobRef> finish();

 private:
  struct Level {
    FileNode node;
    bool ends_here = false;  ///< the content of the last entry says so
  };
  Result<Ref> store(StreamKind kind, const ContentId& id, std::span<const std::byte> bytes);
  Status add_entry(std::uint8_t level, const FileEntry& entry, bool ends_here);
  Status close_node(std::uint8_t level);

  PackStore& store_;
  PackWriter& packs_;
  ContentHasher& hasher_;
  std::array<Level, kMaxFileHeight + 1> levels_;
  std::uint8_t top_ = 0;
  std::uint64_t size_ = 0;
};

}  // namespace cacs::repository
