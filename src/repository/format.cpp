#include "repository/format.h"

#include <fmt/format.h>

#include <numeric>

#include "base/io.h"
#include "base/uuid.h"
#include "repository/bytes.h"

namespace cacs::repository {

namespace {

constexpr std::string_view kNodeMagic = "CNOD";
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kDocumentHeaderBytes = 32;

std::string_view document_magic(DocumentKind kind) {
  switch (kind) {
    case DocumentKind::kRepository:
      return "CACSREPO";
    case DocumentKind::kManifest:
      return "CACSMANI";
    case DocumentKind::kPiece:
      return "CACSPIEC";
    case DocumentKind::kDamage:
      return "CACSDAMG";
  }
  return {};
}

}  // namespace

// --- nodes -----------------------------------------------------------------------------------------------------------

std::uint64_t Node::size() const {
  return std::accumulate(entries.begin(), entries.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const NodeEntry& entry) { return sum + entry.length; });
}

std::string encode_node(const Node& node) {
  ByteWriter out;
  out.reserve(16 + node.entries.size() * 40);
  out.text(kNodeMagic);
  out.number(node.level);
  out.zeros(3);
  out.number(static_cast<std::uint32_t>(node.entries.size()));
  out.zeros(4);
  for (const auto& entry : node.entries) {
    out.number(entry.length);
    out.digest(entry.digest);
  }
  return out.take();
}

Result<Node> parse_node(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  const bool magic = in.text(kNodeMagic.size()) == kNodeMagic;
  Node node;
  node.level = in.number<std::uint8_t>();
  const bool reserved = in.zeros(3);
  const std::size_t count = in.number<std::uint32_t>();
  if (!magic || !reserved || !in.zeros(4) || node.level >= kMaxBlobLevels || count > kMaxNodeEntries ||
      in.left() != count * 40) {
    return corrupt("a list of chunks that is none");
  }
  node.entries.resize(count);
  std::uint64_t total = 0;
  for (auto& entry : node.entries) {
    entry.length = in.number<std::uint64_t>();
    entry.digest = in.digest();
    const bool chunk = node.level == 0 && !entry.is_zero_run();
    const bool sane = entry.length > 0 && entry.length <= (chunk ? kMaxChunkBytes : kMaxBlobBytes) &&
                      (node.level == 0 || !entry.is_zero_run());
    total += entry.length;  // cannot overflow: it was at most 2^62 before, and each length is at most that
    if (!sane || total > kMaxBlobBytes) return corrupt("a list of chunks with lengths that cannot be");
  }
  return node;
}

// --- documents -------------------------------------------------------------------------------------------------------

std::string encode_document(DocumentKind kind, const JsonObject& body) {
  const std::string text = boost::json::serialize(body);
  ByteWriter out;
  out.text(document_magic(kind));
  out.number(kFormatVersion);
  out.number(kMinimumReader);
  out.number(kSealingNone);
  out.zeros(3);
  out.number(static_cast<std::uint64_t>(text.size()));
  out.zeros(8);
  out.text(text);
  out.digest(sha256(out.view()));
  return out.take();
}

Result<JsonObject> parse_document(DocumentKind kind, std::span<const std::byte> bytes, std::string_view what) {
  const auto bad = [&](std::string_view why) { return corrupt(fmt::format("{}: {}", what, why)); };
  if (bytes.size() < kDocumentHeaderBytes + kDigestBytes) return bad("cut off");
  const auto covered = bytes.first(bytes.size() - kDigestBytes);
  const Digest computed = sha256(covered);
  if (std::memcmp(computed.bytes.data(), bytes.last(kDigestBytes).data(), kDigestBytes) != 0) {
    return bad("its digest is wrong");
  }
  ByteReader in(covered);
  if (in.text(8) != document_magic(kind)) return bad("another kind of file under this name");
  in.number<std::uint16_t>();
  const auto minimum_reader = in.number<std::uint16_t>();
  const auto sealing = in.number<std::uint8_t>();
  const bool reserved = in.zeros(3);
  const auto length = in.number<std::uint64_t>();
  if (minimum_reader > kFormatVersion || sealing != kSealingNone || !reserved || !in.zeros(8)) {
    return make_error(ErrorCode::kUnsupported, fmt::format("{} was written for a newer reader", what),
                      "use a newer version of cacs");
  }
  if (length != in.left()) return bad("its length is wrong");
  auto body = parse_json_object(in.text(in.left()), what, kMaxDocumentBytes);
  if (!body) return corrupt(body.error().message);
  return body;
}

// --- the list of entries ---------------------------------------------------------------------------------------------

std::string encode_entries(const std::vector<Entry>& entries) {
  ByteWriter out;
  for (const auto& entry : entries) {
    out.number(static_cast<std::uint16_t>(entry.name.size()));
    out.text(entry.name);
    out.number(entry.blob.size);
    out.digest(entry.blob.id);
  }
  return out.take();
}

Result<std::vector<Entry>> parse_entries(std::span<const std::byte> bytes) {
  std::vector<Entry> entries;
  ByteReader in(bytes);
  while (in.left() > 0) {
    Entry entry;
    entry.name = in.text(in.number<std::uint16_t>());
    entry.blob.size = in.number<std::uint64_t>();
    entry.blob.id = in.digest();
    if (in.failed() || entry.name.empty() || entry.blob.size > kMaxBlobBytes)
      return corrupt("a list of entries that is none");
    if (!entries.empty() && entries.back().name >= entry.name) return corrupt("a list of entries out of order");
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace cacs::repository
