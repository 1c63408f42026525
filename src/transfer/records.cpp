#include "transfer/records.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/io.h"
#include "base/text.h"
#include "repository/bytes.h"
#include "repository/manifest.h"
#include "repository/page_node.h"

namespace cacs::transfer {

namespace {

using repository::ByteReader;
using repository::ByteWriter;
using repository::PageLayout;

constexpr std::uint8_t kHeadRecord = 'H';
constexpr std::uint8_t kEntryRecord = 'E';
constexpr std::uint8_t kEndRecord = 'X';
constexpr std::size_t kUnit = 4096;
constexpr std::size_t kMaxDataRun = std::size_t{1} << 20U;
constexpr std::size_t kStep = std::size_t{1} << 20U;
constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 62U;

Error corrupt(const std::string& why) {
  return make_error(ErrorCode::kCorrupt, "the exported checkpoint is not sound: " + why, "export it again");
}

bool all_zero(std::string_view bytes) { return bytes.find_first_not_of('\0') == std::string_view::npos; }

}  // namespace

// --- writing ---------------------------------------------------------------------------------------------------------

Status RecordWriter::number(std::uint64_t value) {
  ByteWriter out;
  out.varint(value);
  return put_(as_bytes(out.view()));
}

Status RecordWriter::head(std::string_view json) {
  ByteWriter out;
  out.number(kHeadRecord);
  out.varint(json.size());
  CACS_TRY(put_(as_bytes(out.view())));
  return put_(as_bytes(json));
}

Status RecordWriter::entry(EntryKind kind, std::string_view name, std::uint64_t size) {
  ++entries_;
  ByteWriter out;
  out.number(kEntryRecord);
  out.number(static_cast<std::uint8_t>(kind));
  out.varint(name.size());
  out.text(name);
  out.varint(size);
  return put_(as_bytes(out.view()));
}

Status RecordWriter::runs(const PageLayout& runs) {
  const std::string bytes = repository::encode_page_layout(runs);
  if (bytes.size() > kMaxRunsBytes)
    return make_error(ErrorCode::kTooLarge, "memory in more parts than an export can hold");
  std::uint64_t pages = 0;
  for (const auto& run : runs) pages += run.count;
  CACS_TRY(number(pages));
  CACS_TRY(number(bytes.size()));
  return put_(as_bytes(bytes));
}

Status RecordWriter::end() {
  ByteWriter out;
  out.number(kEndRecord);
  out.varint(entries_);
  return put_(as_bytes(out.view()));
}

Status ContentSink::write(std::span<const std::byte> data) {
  while (!data.empty()) {
    const std::size_t count = std::min(data.size(), kUnit - unit_.size());
    unit_.append(reinterpret_cast<const char*>(data.data()), count);
    data = data.subspan(count);
    if (unit_.size() == kUnit) CACS_TRY(end_unit());
  }
  return {};
}

Status ContentSink::hole(std::uint64_t count) {
  if (!unit_.empty()) {
    const std::size_t rest = std::min<std::uint64_t>(count, kUnit - unit_.size());
    unit_.append(rest, '\0');
    count -= rest;
    if (unit_.size() == kUnit) CACS_TRY(end_unit());
  }
  if (count >= kUnit) {
    CACS_TRY(flush_data());
    zeros_ += count / kUnit * kUnit;
  }
  unit_.append(count % kUnit, '\0');
  return {};
}

Status ContentSink::end_unit() {
  if (all_zero(unit_)) {
    CACS_TRY(flush_data());
    zeros_ += unit_.size();
  } else {
    CACS_TRY(flush_zeros());
    data_ += unit_;
    if (data_.size() >= kMaxDataRun) CACS_TRY(flush_data());
  }
  unit_.clear();
  return {};
}

Status ContentSink::flush_data() {
  if (data_.empty()) return {};
  ByteWriter out;
  out.varint(data_.size() * 2 + 1);
  CACS_TRY(put_(as_bytes(out.view())));
  CACS_TRY(put_(as_bytes(data_)));
  data_.clear();
  return {};
}

Status ContentSink::flush_zeros() {
  if (zeros_ == 0) return {};
  ByteWriter out;
  out.varint(zeros_ * 2);
  zeros_ = 0;
  return put_(as_bytes(out.view()));
}

Status ContentSink::finish() {
  if (!unit_.empty()) CACS_TRY(end_unit());
  CACS_TRY(flush_data());
  return flush_zeros();
}

// --- reading ---------------------------------------------------------------------------------------------------------

Status RecordReader::raw(std::span<std::byte> out) {
  CACS_ASSIGN(const std::size_t got, take_(out));
  if (got < out.size()) return corrupt("it ends within a record");
  return {};
}

Result<std::uint64_t> RecordReader::number() {
  std::array<std::byte, 10> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    CACS_TRY(raw(std::span(bytes).subspan(i, 1)));
    if ((bytes.at(i) & std::byte{0x80}) != std::byte{0}) continue;
    ByteReader in(std::span<const std::byte>(bytes).first(i + 1));
    const std::uint64_t value = in.varint();
    if (in.failed()) break;
    return value;
  }
  return corrupt("a number is damaged");
}

Result<std::string> RecordReader::text(std::uint64_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    const std::size_t have = bytes.size();
    bytes.resize(have + std::min<std::uint64_t>(kStep, size - have));
    CACS_TRY(raw(std::as_writable_bytes(std::span(bytes)).subspan(have)));
  }
  return bytes;
}

Result<Record> RecordReader::next() {
  std::array<std::byte, 1> type{};
  CACS_TRY(raw(type));
  Record record;
  const auto letter = std::to_integer<std::uint8_t>(type[0]);
  if ((letter == kHeadRecord) == headed_) return corrupt("its head is not the first thing in it");
  headed_ = true;
  if (letter == kHeadRecord) {
    record.type = Record::Type::kHead;
    CACS_ASSIGN(const std::uint64_t size, number());
    if (size > kMaxHeadBytes) return corrupt("its head is too long");
    CACS_ASSIGN(record.head, text(size));
    return record;
  }
  if (letter == kEndRecord) {
    CACS_ASSIGN(const std::uint64_t count, number());
    if (count != entries_) return corrupt("entries are missing");
    return record;
  }
  if (letter != kEntryRecord) return corrupt("there is a record of an unknown kind");
  ++entries_;
  record.type = Record::Type::kEntry;
  CACS_TRY(raw(type));
  const auto kind = std::to_integer<std::uint8_t>(type[0]);
  if (kind < static_cast<std::uint8_t>(EntryKind::kFile) || kind > static_cast<std::uint8_t>(EntryKind::kBaseRecord)) {
    return corrupt("there is an entry of an unknown kind");
  }
  record.kind = static_cast<EntryKind>(kind);
  CACS_ASSIGN(const std::uint64_t length, number());
  if (length == 0 || length > repository::kMaxNameBytes) return corrupt("an entry has no sound name");
  CACS_ASSIGN(record.name, text(length));
  CACS_ASSIGN(record.size, number());
  if (record.size > kMaxSize) return corrupt("entry " + printable(record.name) + " is too long");
  return record;
}

Result<PageLayout> RecordReader::runs(std::uint64_t pages, std::uint64_t limit) {
  CACS_ASSIGN(const std::uint64_t count, number());
  CACS_ASSIGN(const std::uint64_t size, number());
  if ((pages != 0 && count != pages) || count > limit || size > kMaxRunsBytes) {
    return corrupt("a list of pages is not of the length that it has to be");
  }
  CACS_ASSIGN(const std::string bytes, text(size));
  if (count == 0 && bytes.empty()) return PageLayout();
  auto layout = repository::parse_page_layout(as_bytes(bytes), count);
  if (!layout) return corrupt("a list of pages: " + layout.error().message);
  return layout;
}

Status ContentSource::next_run() {
  if (run_ > 0 || left_ == 0) return {};
  CACS_ASSIGN(const std::uint64_t word, reader_.number());
  stored_ = (word & 1U) != 0;
  run_ = word / 2;
  if (run_ == 0 || run_ > left_) return corrupt("a content is not of the length that it has to be");
  left_ -= run_;
  return {};
}

Result<std::size_t> ContentSource::read(std::span<std::byte> out) {
  CACS_TRY(next_run());
  const std::size_t count = std::min<std::uint64_t>(out.size(), run_);
  if (count == 0) return count;
  if (stored_) {
    CACS_TRY(reader_.raw(out.first(count)));
  } else {
    std::memset(out.data(), 0, count);
  }
  run_ -= count;
  return count;
}

Result<std::uint64_t> ContentSource::hole() {
  CACS_TRY(next_run());
  return stored_ ? std::uint64_t{0} : run_;
}

void ContentSource::skip(std::uint64_t count) { run_ -= std::min(count, run_); }

}  // namespace cacs::transfer
