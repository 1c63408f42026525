#include <algorithm>
#include <cstring>

#include "inspect/tree.h"

namespace cacs::inspect {

namespace {

using repository::kPageBytes;

class BlobFile final : public FileReader {
 public:
  explicit BlobFile(std::unique_ptr<repository::BlobReader> reader) : reader_(std::move(reader)) {}
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    return reader_->read_at(offset, out);
  }

 private:
  std::unique_ptr<repository::BlobReader> reader_;
};

class TextFile final : public FileReader {
 public:
  explicit TextFile(std::shared_ptr<const std::string> text) : text_(std::move(text)) {}
  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    if (offset >= text_->size()) return std::size_t{0};
    const std::size_t count = std::min<std::uint64_t>(out.size(), text_->size() - offset);
    std::memcpy(out.data(), text_->data() + offset, count);
    return count;
  }

 private:
  std::shared_ptr<const std::string> text_;
};

class MemoryFile final : public FileReader {
 public:
  MemoryFile(MemoryWindow window, std::uint64_t size, std::unique_ptr<repository::BlobReader> reader)
      : window_(std::move(window)), size_(size), reader_(std::move(reader)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) override {
    if (offset >= size_) return std::size_t{0};
    out = out.first(std::min<std::uint64_t>(out.size(), size_ - offset));
    const std::size_t total = out.size();
    while (!out.empty()) {
      CACS_ASSIGN(const std::size_t done, read_some(window_.start + offset, out));
      offset += done;
      out = out.subspan(done);
    }
    return total;
  }

 private:
  /// From `address` to the end of the run that it is in, or to the beginning of the next.
  Result<std::size_t> read_some(std::uint64_t address, std::span<std::byte> out) {
    const std::uint64_t page = address / kPageBytes;
    static const std::vector<SavedRun> kNone;
    const auto& runs = window_.memory ? window_.memory->runs : kNone;
    const auto run = std::upper_bound(runs.begin(), runs.end(), page, [](std::uint64_t at, const SavedRun& each) {
      return at < each.page + each.count;
    });
    if (run == runs.end() || run->page > page) {
      const std::uint64_t zeros = run == runs.end() ? out.size() : run->page * kPageBytes - address;
      const std::size_t count = std::min<std::uint64_t>(out.size(), zeros);
      std::memset(out.data(), 0, count);
      return count;
    }
    const std::uint64_t within = address - run->page * kPageBytes;
    const std::size_t count = std::min<std::uint64_t>(out.size(), run->count * kPageBytes - within);
    CACS_ASSIGN(const std::size_t got, reader_->read_at(run->first * kPageBytes + within, out.first(count)));
    if (got != count) return make_error(ErrorCode::kCorrupt, "the saved pages end too early");
    return count;
  }

  MemoryWindow window_;
  std::uint64_t size_;
  std::unique_ptr<repository::BlobReader> reader_;
};

}  // namespace

Result<std::unique_ptr<FileReader>> open_file_reader(repository::Repository& repository, const Node& node) {
  std::unique_ptr<FileReader> file;
  if (const auto* blob = std::get_if<repository::BlobRef>(&node.content)) {
    CACS_ASSIGN(auto reader, repository.open_reader(*blob));
    file = std::make_unique<BlobFile>(std::move(reader));
  } else if (const auto* text = std::get_if<std::shared_ptr<const std::string>>(&node.content)) {
    file = std::make_unique<TextFile>(*text);
  } else if (const auto* window = std::get_if<MemoryWindow>(&node.content)) {
    std::unique_ptr<repository::BlobReader> reader;
    if (window->memory) {
      CACS_ASSIGN(reader, repository.open_reader(window->memory->blob));
    }
    file = std::make_unique<MemoryFile>(*window, node.size, std::move(reader));
  } else {
    return make_error(ErrorCode::kInvalidArgument, "it is not a file that has bytes");
  }
  return file;
}

}  // namespace cacs::inspect
