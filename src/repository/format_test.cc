// The bytes of packs, nodes, layouts, lists and manifests: what is written is read back, what cannot be is refused.

#include <gtest/gtest.h>

#include <limits>

#include "repository/bytes.h"
#include "repository/file_node.h"
#include "repository/layout.h"
#include "repository/manifest.h"
#include "repository/page_node.h"
#include "repository/test_support.h"

namespace cacs::repository {
namespace {

constexpr std::uint64_t kMax64 = std::numeric_limits<std::uint64_t>::max();

class FormatTest : public ::testing::Test {
 protected:
  PackId pack(std::uint8_t number) {
    PackId id;
    id.bytes.back() = static_cast<std::byte>(number + 1);
    return id;
  }
  Ref ref(std::uint8_t number, Slot slot) { return {.pack = catalog_.number_of(pack(number)), .slot = slot}; }

  TenantKeys keys_ = test_keys(Sealing::kNone);
  std::unique_ptr<Backend> backend_ = make_memory_backend(std::make_shared<MemoryStore>());
  PackCatalog catalog_{*backend_, keys_};
};

template <typename T>
void expect_corrupt(const Result<T>& result, const std::string& what = "") {
  ASSERT_FALSE(result.ok()) << what;
  EXPECT_EQ(result.error().code, ErrorCode::kCorrupt) << what;
}

/// Each part of the bytes from the start, and the bytes with one more, are refused.
template <typename Parse>
void expect_exact_length(const std::string& bytes, const Parse& parse) {
  ASSERT_TRUE(parse(as_bytes(bytes)).ok());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    expect_corrupt(parse(as_bytes(bytes).first(length)), "cut to " + std::to_string(length));
  }
  expect_corrupt(parse(as_bytes(bytes + '\0')), "one byte more");
}

TEST_F(FormatTest, VarintsHaveOneFormEach) {
  std::vector<std::uint64_t> values{0, 1, 127, 128, 16383, 16384, kMax64, kMax64 - 1};
  for (unsigned bit = 0; bit < 64; ++bit) values.push_back(std::uint64_t{1} << bit);
  for (const std::uint64_t value : values) {
    ByteWriter out;
    out.varint(value);
    out.signed_varint(static_cast<std::int64_t>(value));
    out.signed_varint(-static_cast<std::int64_t>(value >> 1U));
    ByteReader in(as_bytes(out.view()));
    EXPECT_EQ(in.varint(), value);
    EXPECT_EQ(in.signed_varint(), static_cast<std::int64_t>(value));
    EXPECT_EQ(in.signed_varint(), -static_cast<std::int64_t>(value >> 1U));
    EXPECT_FALSE(in.failed());
    EXPECT_EQ(in.left(), 0U);
  }
  for (const std::string& bytes :
       {std::string(), std::string("\x80", 1), std::string("\x80\x00", 2), std::string("\xff\x80\x00", 3),
        std::string(9, '\xff') + '\x02', std::string(10, '\xff') + '\x01'}) {
    ByteReader in(as_bytes(bytes));
    EXPECT_EQ(in.varint(), 0U);
    EXPECT_TRUE(in.failed()) << testing::PrintToString(bytes);
  }
  ByteReader whole(as_bytes(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10)));
  EXPECT_EQ(whole.varint(), kMax64);
  EXPECT_FALSE(whole.failed());
}

TEST_F(FormatTest, NumbersAreLittleEndian) {
  ByteWriter out;
  out.number(std::uint32_t{0x01020304});
  EXPECT_EQ(out.view(), "\x04\x03\x02\x01");
  ByteReader in(as_bytes(out.view()));
  EXPECT_EQ(in.number<std::uint32_t>(), 0x01020304U);
  EXPECT_EQ(in.number<std::uint8_t>(), 0U);
  EXPECT_TRUE(in.failed());
}

TEST_F(FormatTest, PageNodesComeBack) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    PageNode node;
    Ref last = ref(0, 0);
    for (Ref& child : node) {
      switch (random() % 4) {
        case 0:
          break;
        case 1:
          last = ref(static_cast<std::uint8_t>(random() % 64), static_cast<Slot>(random()));
          child = last;
          break;
        default:
          if (last.slot < std::numeric_limits<Slot>::max()) ++last.slot;
          child = last;
      }
    }
    const auto level = static_cast<std::uint8_t>(random() % (kMaxPageHeight + 1));
    const std::string bytes = encode_page_node(node, level, catalog_);
    const auto parsed = parse_page_node(as_bytes(bytes), level, catalog_);
    ASSERT_OK(parsed);
    ASSERT_EQ(*parsed, node);
    expect_corrupt(parse_page_node(as_bytes(bytes), static_cast<std::uint8_t>(level + 1), catalog_));
  }
}

TEST_F(FormatTest, AFullLeafOfPagesInARowIsSmall) {
  PageNode node;
  for (std::size_t i = 0; i < node.size(); ++i) node.at(i) = ref(0, make_slot(3, static_cast<std::uint32_t>(i)));
  const std::string bytes = encode_page_node(node, 0, catalog_);
  EXPECT_LE(bytes.size(), 28U);
  expect_exact_length(bytes, [&](auto part) { return parse_page_node(part, 0, catalog_); });
  // 64 pages of 64 packs, the last slots that there are.
  for (std::size_t i = 0; i < node.size(); ++i) {
    node.at(i) = ref(static_cast<std::uint8_t>(i), std::numeric_limits<Slot>::max() - static_cast<Slot>(i % 2));
  }
  const auto parsed = parse_page_node(as_bytes(encode_page_node(node, 0, catalog_)), 0, catalog_);
  ASSERT_OK(parsed);
  EXPECT_EQ(*parsed, node);
}

TEST_F(FormatTest, PageNodesThatCannotBeAreRefused) {
  const std::string id(16, 'p');
  const auto node = [&](std::string_view runs, std::uint64_t packs = 1) {
    ByteWriter out;
    out.text("PN");
    out.number(std::uint8_t{0});
    out.varint(packs);
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(packs, 70); ++i) out.text(id);
    out.text(runs);
    return parse_page_node(as_bytes(out.view()), 0, catalog_);
  };
  const auto run = [](std::uint64_t length, std::uint64_t index, std::int64_t delta) {
    ByteWriter out;
    out.varint(length << 1U | 1U);
    out.varint(index);
    out.signed_varint(delta);
    return out.take();
  };
  ASSERT_OK(node(run(64, 0, 5)));
  ASSERT_OK(node(std::string("\x80\x01", 2), 0));  // 64 pages of zeros
  expect_corrupt(node(run(65, 0, 5)), "too many");
  expect_corrupt(node(run(63, 0, 5)), "too few");
  expect_corrupt(node(run(0, 0, 5) + run(64, 0, 5)), "an empty run");
  expect_corrupt(node(run(kMax64 >> 1U, 0, 5)), "far too many");
  expect_corrupt(node(run(64, 1, 5)), "a pack that is not in the list");
  expect_corrupt(node(run(64, 0, -1)), "a slot before the first");
  expect_corrupt(node(run(64, 0, (std::int64_t{1} << 32U) - 63)), "slots behind the last");
  ASSERT_OK(node(run(64, 0, (std::int64_t{1} << 32U) - 64)));
  expect_corrupt(node(run(64, 0, std::numeric_limits<std::int64_t>::max())), "an overflow");
  expect_corrupt(node(run(32, 0, 5) + run(32, 0, std::numeric_limits<std::int64_t>::min())), "an overflow");
  expect_corrupt(node(run(32, 0, 5) + run(32, 0, std::numeric_limits<std::int64_t>::max())), "an overflow");
  expect_corrupt(node(run(64, 0, 5), 65), "too many packs");
  expect_corrupt(node(run(64, 0, 5), kMax64), "far too many packs");
}

TEST_F(FormatTest, FileNodesComeBack) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 300; ++round) {
    const auto level = static_cast<std::uint8_t>(round % 3);
    FileNode node;
    std::uint64_t size = 0;
    for (std::uint64_t i = 0, count = 1 + random() % kMaxFileNodeEntries; i < count; ++i) {
      FileEntry entry{.length = 1 + random() % kMaxChunkBytes,
                      .ref = ref(static_cast<std::uint8_t>(random() % 40), static_cast<Slot>(random()))};
      if (level == 0 && random() % 4 == 0) entry.ref = {};
      size += entry.length;
      node.push_back(entry);
    }
    const std::string bytes = encode_file_node(node, level, catalog_);
    const auto parsed = parse_file_node(as_bytes(bytes), level, size, catalog_);
    ASSERT_OK(parsed);
    ASSERT_EQ(parsed->size(), node.size());
    for (std::size_t i = 0; i < node.size(); ++i) {
      ASSERT_EQ((*parsed)[i].length, node[i].length);
      ASSERT_EQ((*parsed)[i].ref, node[i].ref);
    }
    expect_corrupt(parse_file_node(as_bytes(bytes), level, size + 1, catalog_));
    expect_corrupt(parse_file_node(as_bytes(bytes), level, size - 1, catalog_));
    expect_corrupt(parse_file_node(as_bytes(bytes), static_cast<std::uint8_t>(level + 1), size, catalog_));
    if (round < 3) {
      expect_exact_length(bytes, [&](auto part) { return parse_file_node(part, level, size, catalog_); });
    }
  }
}

TEST_F(FormatTest, FileNodesThatCannotBeAreRefused) {
  const auto parse = [&](const FileNode& node, std::uint8_t level) {
    std::uint64_t size = 0;
    for (const auto& entry : node) size += entry.length;
    return parse_file_node(as_bytes(encode_file_node(node, level, catalog_)), level, size, catalog_);
  };
  ASSERT_OK(parse({{.length = kMaxChunkBytes, .ref = ref(0, 1)}}, 0));
  expect_corrupt(parse({{.length = kMaxChunkBytes + 1, .ref = ref(0, 1)}}, 0), "a chunk that is too long");
  ASSERT_OK(parse({{.length = kMaxBlobBytes, .ref = ref(0, 1)}}, 1));
  expect_corrupt(parse({{.length = kMaxBlobBytes + 1, .ref = ref(0, 1)}}, 1), "a file that is too long");
  expect_corrupt(parse({{.length = 5}}, 1), "zeros where nodes are");
  expect_corrupt(parse({{.length = 0, .ref = ref(0, 1)}, {.length = 5}}, 0), "an empty chunk");
  expect_corrupt(parse(FileNode(kMaxFileNodeEntries + 1, {.length = 5}), 0), "too many entries");
  ASSERT_OK(parse(FileNode(kMaxFileNodeEntries, {.length = 5}), 0));
}

TEST_F(FormatTest, HeadsAndBlobRefsComeBack) {
  const BlobRef layout{.pack = pack(3), .slot = 7, .layout = BlobLayout::kFile, .height = 2, .size = 99};
  const PageMapHead head{.pages = 12345, .layout = layout, .root_pack = pack(1), .root_slot = 0x1234, .height = 4};
  const std::string bytes = encode_page_map_head(head);
  expect_exact_length(bytes, parse_page_map_head);
  const auto parsed = parse_page_map_head(as_bytes(bytes));
  EXPECT_EQ(encode_page_map_head(*parsed), bytes);
  EXPECT_EQ(parsed->pages, head.pages);
  EXPECT_EQ(parsed->layout, layout);
  EXPECT_EQ(parsed->root_pack, head.root_pack);
  EXPECT_EQ(parsed->root_slot, head.root_slot);
  EXPECT_EQ(parsed->height, 4);
  EXPECT_FALSE(parsed->empty);
  auto bad = head;
  bad.height = kMaxPageHeight + 1;
  expect_corrupt(parse_page_map_head(as_bytes(encode_page_map_head(bad))));
  bad = head;
  bad.pages = kMaxPages + 1;
  expect_corrupt(parse_page_map_head(as_bytes(encode_page_map_head(bad))));
  bad = head;
  bad.layout.layout = BlobLayout::kPages;  // a layout that has a layout
  expect_corrupt(parse_page_map_head(as_bytes(encode_page_map_head(bad))));

  expect_exact_length(encode_blob_ref(layout), parse_blob_ref);
  EXPECT_EQ(*BlobRef::from_text(layout.to_text()), layout);
  for (const BlobRef& wrong : {BlobRef{.size = kMaxBlobBytes + 1}, BlobRef{.height = 1}, BlobRef{.slot = 1},
                               BlobRef{.pack = pack(0), .layout = BlobLayout::kFile, .height = 9}}) {
    expect_corrupt(parse_blob_ref(as_bytes(encode_blob_ref(wrong))));
    expect_corrupt(BlobRef::from_text(wrong.to_text()));
  }
  expect_corrupt(BlobRef::from_text(""));
  expect_corrupt(BlobRef::from_text(std::string(64, 'g')));
}

TEST_F(FormatTest, LayoutsComeBackAndOthersAreRefused) {
  const PageLayout layout{{.page = kMaxPages - 5, .count = 5}, {.page = 0, .count = 1}, {.page = 70, .count = 1000}};
  const std::string bytes = encode_page_layout(layout);
  EXPECT_EQ(*parse_page_layout(as_bytes(bytes), 1006), layout);
  expect_exact_length(bytes, [](auto part) { return parse_page_layout(part, 1006); });
  expect_corrupt(parse_page_layout(as_bytes(bytes), 1005));
  expect_corrupt(parse_page_layout(as_bytes(bytes), 1007));
  for (const PageLayout& wrong :
       {PageLayout{{.page = 5, .count = 0}, {.page = 9, .count = 2}},
        PageLayout{{.page = 5, .count = 1}, {.page = 5, .count = 1}}, PageLayout{{.page = kMaxPages - 1, .count = 2}},
        PageLayout{{.page = kMax64, .count = 2}}}) {
    expect_corrupt(parse_page_layout(as_bytes(encode_page_layout(wrong)), 2));
    EXPECT_FALSE(check_page_layout(wrong).ok());
  }
}

TEST_F(FormatTest, HeadersAndTrailersComeBack) {
  const PackHeader header{.sealing = Sealing::kAes256Gcm,
                          .identity = Identity::kAesGmac,
                          .key_generation = 3,
                          .id = pack(4),
                          .generation = 5,
                          .salt = make_salt()};
  const std::string bytes = encode_pack_header(header);
  ASSERT_EQ(bytes.size(), kPackHeaderBytes);
  expect_exact_length(bytes, parse_pack_header);
  EXPECT_EQ(encode_pack_header(*parse_pack_header(as_bytes(bytes))), bytes);
  std::string newer = bytes;
  newer[10] = 3;  // minimum reader
  EXPECT_EQ(parse_pack_header(as_bytes(newer)).error().code, ErrorCode::kUnsupported);

  const PackTrailer trailer{.table_offset = 100, .table_bytes = 50, .hooks_bytes = 24, .segments = 2, .slots = 9};
  const std::uint64_t size = 100 + 50 + 24 + kPackTrailerBytes;
  const std::string end = encode_pack_trailer(trailer);
  expect_exact_length(end, [&](auto part) { return parse_pack_trailer(part, size); });
  EXPECT_EQ(encode_pack_trailer(*parse_pack_trailer(as_bytes(end), size)), end);
  for (const std::uint64_t wrong : {std::uint64_t{0}, size - 1, size + 1, kMax64}) {
    expect_corrupt(parse_pack_trailer(as_bytes(end), wrong));
  }
  for (const PackTrailer& wrong :
       {PackTrailer{.table_offset = 63, .table_bytes = 87, .hooks_bytes = 24},
        PackTrailer{.table_offset = kMax64 - 100, .table_bytes = 50, .hooks_bytes = 24},
        PackTrailer{.table_offset = 100, .table_bytes = 15, .hooks_bytes = 59},
        PackTrailer{.table_offset = 100, .table_bytes = 50, .hooks_bytes = 24, .segments = 1, .slots = 257},
        PackTrailer{.table_offset = 100, .table_bytes = 50, .hooks_bytes = 24, .segments = 70000}}) {
    expect_corrupt(parse_pack_trailer(as_bytes(encode_pack_trailer(wrong)), size));
  }
}

TEST_F(FormatTest, TablesComeBackWithWhatWasDropped) {
  std::vector<ContentId> ids(3);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i].bytes[0] = static_cast<std::byte>(i + 1);
  PackTable table;
  table.add({.offset = 64, .stored = 2 * kPageBytes + kTagBytes, .raw = 2 * kPageBytes, .slots = 2, .pages = true},
            std::span(ids).first(2), {});
  table.add({}, {}, {});
  const std::vector<std::uint32_t> lengths{10, 0, 5};
  table.add({.offset = 64 + 2 * kPageBytes + kTagBytes,
             .stored = 12 + kTagBytes,
             .raw = 15,
             .slots = 3,
             .codec = Codec::kZstd},
            ids, lengths);
  const PackTrailer trailer{
      .table_offset = 64 + 2 * kPageBytes + kTagBytes + 12 + kTagBytes, .segments = 3, .slots = 5};
  const std::string bytes = encode_pack_table(table);
  expect_exact_length(bytes, [&](auto part) { return parse_pack_table(part, trailer); });
  const auto parsed = parse_pack_table(as_bytes(bytes), trailer);
  EXPECT_EQ(encode_pack_table(*parsed), bytes);
  EXPECT_EQ(parsed->place(make_slot(0, 1))->offset, kPageBytes);
  EXPECT_EQ(parsed->place(make_slot(0, 1))->id, ids[1]);
  EXPECT_FALSE(parsed->place(make_slot(0, 2)).has_value());
  EXPECT_FALSE(parsed->place(make_slot(1, 0)).has_value());
  EXPECT_EQ(parsed->place(make_slot(2, 0))->length, 10U);
  EXPECT_FALSE(parsed->place(make_slot(2, 1)).has_value());
  EXPECT_EQ(parsed->place(make_slot(2, 2))->offset, 10U);
  EXPECT_EQ(parsed->place(make_slot(2, 2))->id, ids[2]);
  EXPECT_FALSE(parsed->place(make_slot(3, 0)).has_value());
  EXPECT_FALSE(parsed->place(std::numeric_limits<Slot>::max()).has_value());
  // Every other value in every byte of the lines: refused, or a table whose slots lie in their segments.
  for (std::size_t at = 0; at < 3 * 24; ++at) {
    for (unsigned value = 0; value < 256; ++value) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(value);
      const auto other = parse_pack_table(as_bytes(changed), trailer);
      if (!other) continue;
      EXPECT_LE(other->segments().back().stored, other->segments().back().raw + kTagBytes);
      other->for_each([&](Slot slot, const SlotPlace& place) {
        EXPECT_LE(place.offset + place.length, other->segments()[segment_of(slot)].raw);
      });
    }
  }
  auto wrong = trailer;
  wrong.slots = 4;
  expect_corrupt(parse_pack_table(as_bytes(bytes), wrong));
  wrong = trailer;
  wrong.table_offset += 1;
  expect_corrupt(parse_pack_table(as_bytes(bytes), wrong));
  wrong = trailer;
  wrong.segments = std::numeric_limits<std::uint32_t>::max();
  expect_corrupt(parse_pack_table(as_bytes(bytes), wrong));
}

TEST_F(FormatTest, HooksAndNamesComeBack) {
  const std::vector<std::uint64_t> hooks{1, kMax64, 64};
  EXPECT_EQ(*parse_hooks(as_bytes(encode_hooks(hooks))), hooks);
  expect_corrupt(parse_hooks(as_bytes(std::string(9, 'x'))));
  const auto name = parse_pack_name(pack_name(pack(2), 17));
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->id, pack(2));
  EXPECT_EQ(name->generation, 17U);
  const std::string id = pack(2).to_hex();
  for (const std::string& wrong :
       {id, "packs/" + id, "packs/" + id + ".", "packs/" + id + ".0", "packs/" + id + ".01", "packs/" + id + ".1x",
        "packs/" + id + ".9999999999", "packs/" + id + "0.1", "pack/" + id + ".1", "packs/" + id + ".-1"}) {
    EXPECT_FALSE(parse_pack_name(wrong).has_value()) << wrong;
  }
}

TEST_F(FormatTest, EntriesAndManifestsComeBack) {
  const BlobRef blob{.pack = pack(1), .slot = 3, .layout = BlobLayout::kChunk, .size = 10};
  std::vector<Entry> entries{{std::string("b\0c", 3), blob}, {std::string(kMaxNameBytes, 'z'), {}}, {"a", blob}};
  ASSERT_OK(sort_entries(entries));
  EXPECT_EQ(entries.front().name, "a");
  const std::string bytes = encode_entries(entries);
  EXPECT_EQ(*parse_entries(as_bytes(bytes)), entries);
  EXPECT_TRUE(parse_entries({})->empty());
  expect_corrupt(parse_entries(as_bytes(bytes).first(bytes.size() - 1)));
  expect_corrupt(parse_entries(as_bytes(encode_entries({{"b", blob}, {"a", blob}}))), "out of order");
  expect_corrupt(parse_entries(as_bytes(encode_entries({{"a", blob}, {"a", blob}}))), "a name twice");
  expect_corrupt(parse_entries(as_bytes(encode_entries({{"", blob}}))), "no name");
  std::vector<Entry> twice{{"a", blob}, {"b", blob}, {"a", {}}};
  EXPECT_EQ(sort_entries(twice).error().code, ErrorCode::kInvalidArgument);
  std::vector<Entry> nameless{{"", blob}};
  EXPECT_EQ(sort_entries(nameless).error().code, ErrorCode::kInvalidArgument);
  std::vector<Entry> too_long{{std::string(kMaxNameBytes + 1, 'z'), blob}};
  EXPECT_EQ(sort_entries(too_long).error().code, ErrorCode::kInvalidArgument);

  ManifestDocument document{.entries = blob, .entry_count = 3};
  document.head = {.checkpoint = new_uuid(), .tenant = "t", .application = "a", .incarnation = 4, .created_at = "now"};
  document.head.meta = {{"k", "v"}};
  document.head.pieces = {{.piece = new_uuid(), .label = "pod", .meta = {{"rank", 1}}}};
  document.head.size_bytes = 5;
  document.head.stored_bytes = 6;
  const JsonObject json = manifest_to_json(document);
  const auto parsed = manifest_from_json(json);
  ASSERT_OK(parsed);
  EXPECT_EQ(manifest_to_json(*parsed), json);
  EXPECT_EQ(parsed->entries, blob);
  const std::vector<std::pair<std::string, boost::json::value>> wrong{
      {"checkpoint", "none"}, {"checkpoint", 5},      {"incarnation", -1},  {"incarnation", std::int64_t{1} << 40U},
      {"entry_count", -1},    {"entries", "00"},      {"entries", nullptr}, {"pieces", boost::json::array{5}},
      {"size_bytes", "many"}, {"created_at", nullptr}};
  for (const auto& [name, value] : wrong) {
    JsonObject changed = json;
    changed[name] = value;
    expect_corrupt(manifest_from_json(changed), name);
    if (name == "pieces") continue;  // may be left out
    changed.erase(name);
    expect_corrupt(manifest_from_json(changed), "without " + name);
  }
  PieceDocument piece{.entries = blob, .entry_count = 1};
  piece.head.info = document.head.pieces[0];
  piece.head.created_at = "now";
  EXPECT_EQ(piece_to_json(*piece_from_json(piece_to_json(piece))), piece_to_json(piece));
}

}  // namespace
}  // namespace cacs::repository
