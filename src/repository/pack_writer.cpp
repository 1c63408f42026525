#include "repository/pack_writer.h"

#include "base/io.h"
#include "base/log.h"
#include "base/uuid.h"
#include "repository/layout.h"

namespace cacs::repository {

namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20U;

}  // namespace

PackWriter::~PackWriter() {
  std::vector<std::string> unpublished;
  for (const auto& pack : finished_) unpublished.push_back(pack->id);
  if (file_) unpublished.push_back(id_);
  file_.reset();
  for (const auto& id : unpublished) {
    // What cannot be removed now is removed by the next open or collection.
    if (auto status = storage_.remove(temporary_of(pack_file(id))); !status) {
      spdlog::debug("unpublished pack {} stays for the collector: {}", id, status.error().to_string());
    }
  }
}

bool PackWriter::contains(const Digest& digest) const { return table_.find(digest) != DigestTable<KeyOf>::kNone; }

Status PackWriter::add(const Digest& digest, std::span<const std::byte> raw) {
  const auto packed = codec_.compress(raw);
  return add_packed({.digest = digest, .raw = static_cast<std::uint32_t>(raw.size()), .codec = packed.codec},
                    packed.bytes);
}

Status PackWriter::add_packed(const PackEntry& entry, std::span<const std::byte> stored) {
  if (failed_) return make_error(ErrorCode::kAborted, "an earlier write of this session failed");
  if (!file_) CACS_TRY(begin_pack());
  PackEntry placed = entry;
  placed.offset = static_cast<std::uint32_t>(end_);
  placed.stored = static_cast<std::uint32_t>(stored.size());
  entries_.push_back(placed);
  digests_.push_back(entry.digest);
  table_.insert(digests_.size() - 1);
  buffer_.insert(buffer_.end(), stored.begin(), stored.end());
  end_ += stored.size();
  if (buffer_.size() >= kBufferBytes) CACS_TRY(flush());
  if (end_ >= kPackTargetBytes || entries_.size() == kMaxPackEntries) CACS_TRY(end_pack());
  return {};
}

Status PackWriter::begin_pack() {
  id_ = new_uuid();
  header_ = encode_pack_header(id_);
  entries_.clear();
  buffer_.reserve(kBufferBytes + kMaxChunkBytes);
  const auto bytes = as_bytes(header_);
  buffer_.assign(bytes.begin(), bytes.end());
  end_ = kPackHeaderBytes;
  auto file = storage_.create(temporary_of(pack_file(id_)));
  failed_ = !file.ok();
  if (failed_) return file.error();
  file_ = std::move(*file);
  return {};
}

Status PackWriter::flush() {
  auto status = file_->append(buffer_);
  failed_ = !status.ok();
  buffer_.clear();
  return status;
}

Status PackWriter::end_pack() {
  const std::string footer = encode_pack_footer(header_, entries_);
  const auto bytes = as_bytes(footer);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  end_ += bytes.size();
  CACS_TRY(flush());
  if (auto status = file_->sync(); !status) {
    failed_ = true;
    return status;
  }
  file_.reset();
  entries_.shrink_to_fit();
  finished_.push_back(std::make_shared<const Pack>(Pack{.id = id_, .file_size = end_, .entries = std::move(entries_)}));
  entries_ = {};
  stored_bytes_ += end_;
  end_ = 0;
  return {};
}

Status PackWriter::publish() {
  if (failed_) return make_error(ErrorCode::kAborted, "an earlier write of this session failed");
  if (file_) CACS_TRY(end_pack());
  while (!finished_.empty()) {
    const auto& pack = finished_.back();
    CACS_TRY(storage_.rename(temporary_of(pack_file(pack->id)), pack_file(pack->id)));
    chunks_.add(pack);
    finished_.pop_back();
  }
  return storage_.sync_directory(std::string(kPackDirectory));
}

}  // namespace cacs::repository
