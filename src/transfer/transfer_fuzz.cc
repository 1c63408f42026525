#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/io.h"
#include "transfer/framing.h"
#include "transfer/transfer.h"

// What comes from outside as an exported checkpoint: its blocks, and the records in them, which no checksum keeps out;
// and the frames in which another node sends them.

namespace {

using namespace cacs;
using namespace cacs::transfer;

ReadBytes read_from(std::string_view text) {
  return [text](std::span<std::byte> out) mutable -> Result<std::size_t> {
    const std::size_t count = std::min(out.size(), text.size());
    std::copy_n(as_bytes(text).begin(), count, out.begin());
    text.remove_prefix(count);
    return count;
  };
}

void read_blocks(std::string_view text) {
  const auto refuse = [](repository::SlotMethod) -> Result<repository::Credential> {
    return make_error(ErrorCode::kUnauthenticated, "there is none");
  };
  const auto archive = ArchiveReader::open(read_from(text), refuse);
  if (!archive) return;
  std::vector<std::byte> buffer(10'000);
  while (true) {
    const auto got = (*archive)->read(buffer);
    if (!got || *got == 0) return;
  }
}

/// One entry's content, as the importer reads it.
bool read_content(RecordReader& in, const Record& record) {
  std::vector<std::byte> buffer(10'000);
  if (record.kind == EntryKind::kPages || record.kind == EntryKind::kMemory) {
    const std::uint64_t pages = (record.size + 4095) / 4096;
    if (record.kind == EntryKind::kMemory && !in.runs(pages, pages)) return false;
    const auto runs = in.runs(0, pages);
    return runs && (runs->empty() || in.raw(buffer).ok());
  }
  ContentSource source(in, record.size);
  while (!source.at_end()) {
    const auto zeros = source.hole();
    if (!zeros) return false;
    if (*zeros > 0) {
      source.skip(*zeros);
      continue;
    }
    const auto got = source.read(buffer);
    if (!got) return false;
    if (*got == 0 || *got > buffer.size()) __builtin_trap();
  }
  return true;
}

void read_records(std::string_view text) {
  auto read = read_from(text);
  RecordReader in([&read](std::span<std::byte> out) { return read(out); });
  while (true) {
    const auto record = in.next();
    if (!record || record->type == Record::Type::kEnd) return;
    if (record->type == Record::Type::kEntry && !read_content(in, *record)) return;
  }
}

/// However the bytes are cut, the same comes out, and never more than went in.
void read_frames(std::string_view text) {
  std::vector<std::string> results;
  for (const std::size_t step : {text.size() + 1, std::size_t{3}}) {
    std::string out;
    FrameReader frames([&](std::span<const std::byte> bytes) -> Status {
      out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      return {};
    });
    Status status;
    for (std::size_t at = 0; at < text.size() && status; at += step) status = frames.take(text.substr(at, step));
    if (status) status = frames.result();
    if (out.size() > text.size()) __builtin_trap();
    results.push_back(out + (status.ok() ? "sound" : status.error().message));
  }
  if (results[0] != results[1]) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      read_blocks(text);
      break;
    case 1:
      read_records(text);
      break;
    default:
      read_frames(text);
  }
  return 0;
}
