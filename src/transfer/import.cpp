#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <mutex>

#include "base/text.h"
#include "base/uuid.h"
#include "basefs/record.h"
#include "delta/listing.h"
#include "transfer/tokens.h"
#include "transfer/transfer.h"

namespace cacs::transfer {

namespace {

using repository::BlobRef;
using repository::kPageBytes;
using repository::PageLayout;
using repository::StreamKind;

constexpr std::uint64_t kMaxListLength = std::uint64_t{1} << 30U;

Error corrupt(const std::string& why) {
  return make_error(ErrorCode::kCorrupt, "the exported checkpoint is not sound: " + why, "export it again");
}

/// Pages as they come, for a reader that takes them in order but for some MiB. Any thread.
class StreamedPages final : public repository::PageSource {
 public:
  /// `data`: ascending runs of the pages that come; all others are zeros.
  StreamedPages(RecordReader& in, std::uint64_t size, const PageLayout& data) : in_(in), size_(size), data_(data) {
    std::uint64_t before = 0;
    for (const auto& run : data_) {
      before_.push_back(before);
      before += run.count;
    }
    pages_ = before;
  }

  [[nodiscard]] Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    const std::lock_guard lock(mutex_);
    if (offset >= size_) return std::size_t{0};
    out = out.first(std::min<std::uint64_t>(out.size(), size_ - offset));
    const std::size_t total = out.size();
    while (!out.empty()) {
      const std::uint64_t within = offset % kPageBytes;
      const std::size_t count = std::min<std::uint64_t>(out.size(), kPageBytes - within);
      CACS_TRY(copy(offset / kPageBytes, within, out.first(count)));
      out = out.subspan(count);
      offset += count;
    }
    return total;
  }
  [[nodiscard]] Result<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] Result<PageLayout> data() const override { return data_; }

  /// Passes over what was not asked for.
  Status drain() {
    const std::lock_guard lock(mutex_);
    return advance_to(pages_);
  }

 private:
  static constexpr std::uint64_t kWindowPages = 2048;
  static constexpr std::uint64_t kAheadPages = 256;

  /// Where a page is among those that come; nothing if it is zeros.
  [[nodiscard]] std::optional<std::uint64_t> place_of(std::uint64_t page) const {
    const auto run = std::upper_bound(data_.begin(), data_.end(), page,
                                      [](std::uint64_t at, const auto& each) { return at < each.page + each.count; });
    if (run == data_.end() || run->page > page) return std::nullopt;
    return before_[static_cast<std::size_t>(run - data_.begin())] + (page - run->page);
  }

  [[nodiscard]] Status copy(std::uint64_t page, std::uint64_t within, std::span<std::byte> out) const {
    const auto place = place_of(page);
    if (!place) {
      std::memset(out.data(), 0, out.size());
      return {};
    }
    if (*place >= end_) CACS_TRY(advance_to(std::min(pages_, std::max(*place + 1, end_ + kAheadPages))));
    const std::uint64_t start = end_ - window_.size() / kPageBytes;
    if (*place < start) return corrupt("its pages are not in the order of their addresses");
    std::memcpy(out.data(), window_.data() + (*place - start) * kPageBytes + within, out.size());
    return {};
  }

  /// Takes pages in until `end` of them have come, and lets go of those that came long ago.
  [[nodiscard]] Status advance_to(std::uint64_t end) const {
    while (end_ < end) {
      const std::uint64_t count = std::min(end - end_, kAheadPages);
      if (window_.size() / kPageBytes + count > kWindowPages + kAheadPages) {
        const std::uint64_t drop = window_.size() / kPageBytes + count - kWindowPages;
        window_.erase(window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(
                                                             drop * kPageBytes, window_.size())));
      }
      const std::size_t have = window_.size();
      window_.resize(have + count * kPageBytes);
      // Of the last page of all there may be less.
      std::uint64_t bytes = count * kPageBytes;
      if (end_ + count == pages_ && (data_.back().page + data_.back().count) * kPageBytes > size_) {
        bytes -= (data_.back().page + data_.back().count) * kPageBytes - size_;
      }
      CACS_TRY(in_.raw(std::span(window_).subspan(have, bytes)));
      end_ += count;
    }
    return {};
  }

  RecordReader& in_;
  std::uint64_t size_;
  const PageLayout& data_;
  std::vector<std::uint64_t> before_;  ///< for each run, pages of those before it
  std::uint64_t pages_ = 0;            ///< that come
  mutable std::mutex mutex_;
  mutable std::vector<std::byte> window_;  ///< the last pages that came
  mutable std::uint64_t end_ = 0;          ///< pages that came
};

class Importer {
 public:
  Importer(repository::Repository& repository, RecordReader& in, const TransferProgress& progress)
      : repository_(repository), in_(in), progress_(progress) {}

  Result<Imported> run() {
    CACS_TRY(read_head());
    const auto there = repository_.load(head_.checkpoint);
    if (there) {
      return make_error(ErrorCode::kConflict, "checkpoint " + head_.checkpoint + " is in the repository already",
                        "there is nothing to import; to have it anew, delete it first");
    }
    if (there.error().code != ErrorCode::kNotFound) return there.error();
    CACS_ASSIGN(writer_, repository_.begin("import"));
    CACS_TRY(read_entries());
    Imported imported{.checkpoint = head_.checkpoint};
    for (const auto& [name, blob] : blobs_) {
      head_.entries.push_back({name, blob});
      imported.size_bytes += blob.size;
    }
    CACS_TRY(writer_->commit(std::move(head_)));
    imported.stored_bytes = writer_->stored_bytes();
    return imported;
  }

  Result<ImportedPiece> run_pod(std::string_view checkpoint, std::string_view pod) {
    CACS_TRY(read_head());
    if (head_.checkpoint != checkpoint) return corrupt("it is of another checkpoint");
    if (head_.pieces.size() != 1 || head_.pieces.front().label != pod) return corrupt("it is not of this pod alone");
    CACS_ASSIGN(writer_, repository_.begin(pod));
    CACS_TRY(read_entries());
    const std::string prefix = std::string(pod) + '/';
    std::vector<repository::Entry> entries;
    for (const auto& [name, blob] : blobs_) {
      if (!name.starts_with(prefix)) return corrupt("entry " + printable(name) + " is not of this pod");
      entries.push_back({name, blob});
    }
    ImportedPiece imported;
    CACS_ASSIGN(imported.piece, writer_->finish_piece(std::move(entries), std::move(head_.pieces.front().meta)));
    head_.pieces.clear();
    imported.head = std::move(head_);
    return imported;
  }

 private:
  Status read_head() {
    CACS_ASSIGN(const Record record, in_.next());
    CACS_ASSIGN(const JsonObject json, parse_json_object(record.head, "the exported checkpoint's head", kMaxHeadBytes));
    CACS_ASSIGN(head_.checkpoint, json_string(json, "checkpoint"));
    if (!is_uuid(head_.checkpoint)) return corrupt("its id is no UUID");
    CACS_ASSIGN(head_.application, json_string(json, "application"));
    CACS_ASSIGN(const std::int64_t incarnation, json_int(json, "incarnation"));
    if (incarnation < 0 || incarnation > INT32_MAX) return corrupt("its incarnation is none");
    head_.incarnation = static_cast<int>(incarnation);
    CACS_ASSIGN(head_.created_at, json_string(json, "created_at"));
    head_.tenant = json_string_or(json, "tenant", "default");
    if (const JsonObject* meta = json_find_object(json, "meta")) head_.meta = *meta;
    if (const JsonArray* pieces = json_find_array(json, "pieces")) {
      for (const auto& item : *pieces) {
        const JsonObject* piece = item.if_object();
        if (piece == nullptr) return corrupt("its pieces are damaged");
        repository::PieceInfo info;
        CACS_ASSIGN(info.piece, json_string(*piece, "piece"));
        CACS_ASSIGN(info.label, json_string(*piece, "label"));
        if (const JsonObject* meta = json_find_object(*piece, "meta")) info.meta = *meta;
        head_.pieces.push_back(std::move(info));
      }
    }
    return {};
  }

  Status read_entries() {
    if (progress_) writer_->set_progress(progress_);
    while (true) {
      CACS_ASSIGN(const Record record, in_.next());
      if (record.type == Record::Type::kEnd) break;
      auto blob = store(record);
      if (!blob) return blob.error().with_context("entry " + printable(record.name));
      if (!blobs_.emplace(record.name, *blob).second)
        return corrupt("entry " + printable(record.name) + " comes twice");
    }
    std::array<std::byte, 1> more{};
    if (in_.raw(more).ok()) return corrupt("it goes on after its end");
    return {};
  }

  Result<BlobRef> store(const Record& record) {
    switch (record.kind) {
      case EntryKind::kFile:
        return store_content(record, StreamKind::kFile);
      case EntryKind::kMetadata:
        return store_content(record, StreamKind::kMetadata);
      case EntryKind::kPages:
      case EntryKind::kMemory:
        return store_pages(record);
      case EntryKind::kListing:
      case EntryKind::kBaseRecord:
        break;
    }
    return store_list(record);
  }

  Result<BlobRef> store_content(const Record& record, StreamKind kind) {
    ContentSource source(in_, record.size);
    CACS_ASSIGN(const BlobRef blob, writer_->put(source, kind));
    if (!source.at_end() || blob.size != record.size) return corrupt("its content was not read to its end");
    return blob;
  }

  Result<BlobRef> store_pages(const Record& record) {
    const std::uint64_t pages = (record.size + kPageBytes - 1) / kPageBytes;
    PageLayout layout;
    if (record.kind == EntryKind::kMemory) {
      if (pages == 0 || pages > kMaxMemoryPages || record.size % kPageBytes != 0)
        return corrupt("memory of no sound length");
      CACS_ASSIGN(layout, in_.runs(pages, pages));
    }
    CACS_ASSIGN(const PageLayout data, in_.runs(0, pages));
    std::uint64_t end = 0;
    for (const auto& run : data) {
      if (run.page < end || run.page + run.count > pages)
        return corrupt("pages that are not in the order of the stream");
      end = run.page + run.count;
    }
    StreamedPages source(in_, record.size, data);
    CACS_ASSIGN(const BlobRef blob, record.kind == EntryKind::kMemory ? writer_->put_pages(source, layout, nullptr)
                                                                      : writer_->put_pages(source, nullptr));
    CACS_TRY(source.drain());
    return blob;
  }

  /// The token of the entry of this number.
  Result<std::string> token(const std::string& prefix, const std::string& number) {
    const auto blob = blobs_.find(prefix + number);
    if (blob == blobs_.end()) return corrupt("it names a content that does not come before it");
    return token_of(blob->second);
  }

  Result<BlobRef> store_list(const Record& record) {
    if (record.size > kMaxListLength) return corrupt("a list that is too long");
    ContentSource source(in_, record.size);
    std::string text;
    std::vector<std::byte> buffer(std::size_t{1} << 16U);
    while (true) {
      CACS_ASSIGN(const std::size_t got, source.read(buffer));
      if (got == 0) break;
      text.append(reinterpret_cast<const char*>(buffer.data()), got);
    }
    constexpr std::string_view kBase = "/base.record";
    constexpr std::string_view kSuffix = ".listing";
    if (record.kind == EntryKind::kBaseRecord) {
      if (!record.name.ends_with(kBase)) return corrupt("a record of a base has another name");
      CACS_ASSIGN(basefs::Record base, basefs::parse_record(text));
      const std::string prefix = record.name.substr(0, record.name.size() - kBase.size()) + "/base/";
      for (auto& [path, file] : base.entries) {
        if (file.token.empty()) continue;
        CACS_ASSIGN(file.token, token(prefix, file.token));
      }
      return writer_->put_bytes(basefs::serialise(base));
    }
    if (!record.name.ends_with(kSuffix)) return corrupt("a listing has another name");
    CACS_ASSIGN(delta::Listing listing, delta::parse_listing(text));
    const std::string prefix = record.name.substr(0, record.name.size() - kSuffix.size()) + '/';
    for (auto& file : listing.entries) {
      if (file.token.empty()) continue;
      CACS_ASSIGN(file.token, token(prefix, file.token));
    }
    return writer_->put_bytes(delta::serialise(listing));
  }

  repository::Repository& repository_;
  RecordReader& in_;
  const TransferProgress& progress_;
  repository::Manifest head_;
  std::unique_ptr<repository::Writer> writer_;
  std::map<std::string, BlobRef> blobs_;
};

}  // namespace

Result<Imported> import_records(repository::Repository& repository, RecordReader& in,
                                const TransferProgress& progress) {
  return Importer(repository, in, progress).run().context("import a checkpoint");
}

Result<ImportedPiece> import_pod(repository::Repository& repository, RecordReader& in, std::string_view checkpoint,
                                 std::string_view pod) {
  const TransferProgress none;
  return Importer(repository, in, none)
      .run_pod(checkpoint, pod)
      .context("take in " + printable(pod) + " of checkpoint " + printable(checkpoint));
}

}  // namespace cacs::transfer
