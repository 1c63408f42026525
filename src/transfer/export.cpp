#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "base/io.h"
#include "base/text.h"
#include "basefs/record.h"
#include "delta/listing.h"
#include "repository/page_node.h"
#include "transfer/tokens.h"
#include "transfer/transfer.h"

namespace cacs::transfer {

namespace {

using repository::BlobLayout;
using repository::Entry;
using repository::kPageBytes;
using repository::PageLayout;

constexpr std::size_t kMaxListBytes = std::size_t{1} << 30U;
constexpr std::size_t kCopyBytes = std::size_t{1} << 20U;
constexpr std::string_view kListingSuffix = ".listing";
constexpr std::string_view kBaseRecord = "/base.record";

bool names_others(const Entry& entry) {
  return entry.name.ends_with(kListingSuffix) || entry.name.ends_with(kBaseRecord);
}

/// Whether it is of the pod; of any where none is named.
bool is_of(const Entry& entry, std::string_view pod) {
  return pod.empty() || (entry.name.starts_with(pod) && entry.name.substr(pod.size()).starts_with('/'));
}

JsonObject head_of(const repository::Manifest& manifest) {
  JsonArray pieces;
  for (const auto& piece : manifest.pieces) {
    pieces.push_back(JsonObject{{"piece", piece.piece}, {"label", piece.label}, {"meta", piece.meta}});
  }
  return {{"checkpoint", manifest.checkpoint},   {"tenant", manifest.tenant},
          {"application", manifest.application}, {"incarnation", manifest.incarnation},
          {"created_at", manifest.created_at},   {"meta", manifest.meta},
          {"pieces", std::move(pieces)}};
}

/// The numbers of the entries PREFIX/N, by token.
class Numbers {
 public:
  Numbers(const repository::Manifest& manifest, const std::string& prefix) : manifest_(manifest), prefix_(prefix) {
    for (const auto& entry : manifest.entries) {
      if (!entry.name.starts_with(prefix)) continue;
      std::uint64_t number = 0;
      const std::string text = entry.name.substr(prefix.size());
      const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (problem != std::errc() || std::to_string(number) != text) continue;
      const auto [known, is_new] = numbers_.emplace(token_of(entry.blob), number);
      if (!is_new) known->second = std::min(known->second, number);
    }
  }
  /// `expected`: which one it is where contents were numbered as they came; two of equal content differ in that alone.
  Result<std::string> of(const std::string& token, std::uint64_t expected) const {
    const auto* blob = find_entry(manifest_, prefix_ + std::to_string(expected));
    if (blob != nullptr && token_of(*blob) == token) return std::to_string(expected);
    const auto found = numbers_.find(token);
    if (found != numbers_.end()) return std::to_string(found->second);
    return make_error(ErrorCode::kCorrupt, "a content of " + prefix_ + " is no entry of the checkpoint");
  }

 private:
  const repository::Manifest& manifest_;
  std::string prefix_;
  std::unordered_map<std::string, std::uint64_t> numbers_;
};

class Exporter {
 public:
  Exporter(repository::Repository& repository, RecordWriter& out, const TransferProgress& progress)
      : repository_(repository), out_(out), progress_(progress) {}

  Status run(std::string_view checkpoint, std::string_view pod) {
    CACS_ASSIGN(manifest_, repository_.load(checkpoint));
    if (!pod.empty()) CACS_TRY(keep_only(pod));
    CACS_TRY(out_.head(boost::json::serialize(head_of(manifest_))));
    // What names others goes last, so that whoever reads it has them.
    for (const bool naming : {false, true}) {
      for (const auto& entry : manifest_.entries) {
        if (names_others(entry) != naming) continue;
        CACS_TRY((naming ? list(entry) : content(entry)).context("entry " + printable(entry.name)));
        done_ += entry.blob.size;
        if (progress_) progress_(done_);
      }
    }
    return out_.end();
  }

 private:
  Status keep_only(std::string_view pod) {
    std::erase_if(manifest_.entries, [&](const Entry& entry) { return !is_of(entry, pod); });
    std::erase_if(manifest_.pieces, [&](const repository::PieceInfo& piece) { return piece.label != pod; });
    if (!manifest_.entries.empty() && manifest_.pieces.size() == 1) return {};
    return make_error(ErrorCode::kNotFound, fmt::format("it has nothing of {}", printable(pod)));
  }

  [[nodiscard]] ContentSink content_sink() {
    return ContentSink([this](std::span<const std::byte> bytes) { return out_.raw(bytes); });
  }

  Status content(const Entry& entry) {
    if (entry.blob.layout == BlobLayout::kPages) return pages(entry);
    const bool image = entry.name.find("/images/") != std::string::npos;
    CACS_TRY(out_.entry(image ? EntryKind::kMetadata : EntryKind::kFile, entry.name, entry.blob.size));
    ContentSink sink = content_sink();
    return repository_.read_blob(entry.blob, sink);
  }

  Status pages(const Entry& entry) {
    CACS_ASSIGN(const PageLayout layout, repository_.page_layout(entry.blob));
    CACS_TRY(out_.entry(layout.empty() ? EntryKind::kPages : EntryKind::kMemory, entry.name, entry.blob.size));
    if (!layout.empty()) CACS_TRY(out_.runs(layout));
    CACS_ASSIGN(const PageLayout stored, repository_.stored_pages(entry.blob));
    CACS_TRY(out_.runs(stored));
    CACS_ASSIGN(const auto reader, repository_.open_reader(entry.blob));
    std::vector<std::byte> buffer(kCopyBytes);
    for (const auto& run : stored) {
      const std::uint64_t end = std::min(entry.blob.size, (run.page + run.count) * kPageBytes);
      for (std::uint64_t at = run.page * kPageBytes; at < end;) {
        const auto part = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), end - at));
        CACS_ASSIGN(const std::size_t got, reader->read_at(at, part));
        if (got < part.size()) return make_error(ErrorCode::kCorrupt, "the saved pages end too early");
        CACS_TRY(out_.raw(part));
        at += got;
        if (progress_) progress_(done_ + at);
      }
    }
    return {};
  }

  Status write_list(EntryKind kind, const std::string& name, const std::string& bytes) {
    CACS_TRY(out_.entry(kind, name, bytes.size()));
    ContentSink sink = content_sink();
    CACS_TRY(sink.write(as_bytes(bytes)));
    return sink.finish();
  }

  /// References mean nothing elsewhere: in their place go the numbers of the entries that they name.
  Status list(const Entry& entry) {
    repository::StringSink text(kMaxListBytes);
    CACS_TRY(repository_.read_blob(entry.blob, text));
    if (entry.name.ends_with(kBaseRecord)) {
      CACS_ASSIGN(basefs::Record record, basefs::parse_record(text.text()));
      const Numbers numbers(manifest_, entry.name.substr(0, entry.name.size() - kBaseRecord.size()) + "/base/");
      for (auto& [path, file] : record.entries) {
        if (file.token.empty()) continue;
        CACS_ASSIGN(file.token, numbers.of(file.token, UINT64_MAX));
      }
      return write_list(EntryKind::kBaseRecord, entry.name, basefs::serialise(record));
    }
    CACS_ASSIGN(delta::Listing listing, delta::parse_listing(text.text()));
    const Numbers numbers(manifest_, entry.name.substr(0, entry.name.size() - kListingSuffix.size()) + '/');
    std::uint64_t expected = 0;
    for (auto& file : listing.entries) {
      if (file.token.empty()) continue;
      CACS_ASSIGN(file.token, numbers.of(file.token, expected++));
    }
    return write_list(EntryKind::kListing, entry.name, delta::serialise(listing));
  }

  repository::Repository& repository_;
  RecordWriter& out_;
  const TransferProgress& progress_;
  repository::Manifest manifest_;
  std::uint64_t done_ = 0;
};

}  // namespace

Status export_records(repository::Repository& repository, std::string_view checkpoint, RecordWriter& out,
                      const TransferProgress& progress, std::string_view pod) {
  return Exporter(repository, out, progress)
      .run(checkpoint, pod)
      .context(fmt::format("export checkpoint {}", checkpoint));
}

}  // namespace cacs::transfer
