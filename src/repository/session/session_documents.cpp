#include "repository/session/session_documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace cacs::repository {

namespace {

constexpr std::string_view kMagic = "CACSSESS";
constexpr std::uint16_t kVersion = 1;
constexpr std::uint16_t kMinimumReader = 1;

class Encoder {
 public:
  template <typename T>
  void number(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) out_.push_back(std::byte(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
  void raw(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view value, std::size_t max, std::string_view what) {
    if (value.size() > max) return fail(ErrorCode::kTooLarge, what, value.size(), max);
    number(static_cast<std::uint16_t>(value.size()));
    raw(value);
  }
  void count(std::size_t value, std::size_t max, std::string_view what) {
    if (value > max) return fail(ErrorCode::kTooLarge, what, value, max);
    number(static_cast<std::uint32_t>(value));
  }
  void instance(const InstanceId& id) {
    number(id.high);
    number(id.low);
  }
  void fail(ErrorCode code, std::string_view what, std::size_t value, std::size_t max) {
    if (status_)
      status_ = make_error(code, fmt::format("write a session document: {} is {}, at most {}", what, value, max));
  }
  Result<std::vector<std::byte>> take() {
    CACS_TRY(status_);
    return std::move(out_);
  }

 private:
  std::vector<std::byte> out_;
  Status status_;
};

/// Reading past the end or over a bound gives zeros and sets failed().
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> data) : data_(data) {}

  template <typename T>
  T number() {
    if (data_.size() < sizeof(T)) {
      fail();
      return 0;
    }
    std::uint64_t value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) value = (value << 8U) | std::to_integer<std::uint64_t>(data_[i]);
    data_ = data_.subspan(sizeof(T));
    return static_cast<T>(value);
  }
  std::string raw(std::size_t size) {
    if (size > data_.size()) {
      fail();
      return {};
    }
    std::string value(reinterpret_cast<const char*>(data_.data()), size);
    data_ = data_.subspan(size);
    return value;
  }
  std::string text(std::size_t max) {
    const auto size = number<std::uint16_t>();
    if (size > max) fail();
    return raw(failed_ ? 0 : size);
  }
  /// Each entry takes at least `least` bytes, so a count that the rest cannot hold allocates nothing.
  std::size_t count(std::size_t max, std::size_t least) {
    const auto value = number<std::uint32_t>();
    if (value > max || value > data_.size() / least) fail();
    return failed_ ? 0 : value;
  }
  InstanceId instance() {
    InstanceId id;
    id.high = number<std::uint64_t>();
    id.low = number<std::uint64_t>();
    return id;
  }
  void require(bool condition) {
    if (!condition) fail();
  }
  void fail() {
    failed_ = true;
    data_ = {};
  }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] bool complete() const { return !failed_ && data_.empty(); }

 private:
  std::span<const std::byte> data_;
  bool failed_ = false;
};

void write_texts(Encoder& out, const std::vector<std::string>& texts, std::size_t max, std::string_view what) {
  out.count(texts.size(), max, what);
  for (const auto& text : texts) out.text(text, kMaxRootKeyBytes, "length of a root's key");
}

std::vector<std::string> read_texts(Decoder& in, std::size_t max) {
  std::vector<std::string> texts(in.count(max, 2));
  for (auto& text : texts) {
    text = in.text(kMaxRootKeyBytes);
    in.require(!text.empty());
  }
  return texts;
}

void write(Encoder&, const std::monostate&) {}
void write(Encoder& out, const Claim& claim) {
  out.instance(claim.instance);
  out.number(claim.attempt);
}
void write(Encoder& out, const Licence& licence) { out.instance(licence.instance); }

void write(Encoder& out, const WriterRegister& content) {
  out.instance(content.instance);
  out.text(content.name, kMaxWriterNameBytes, "length of a writer's name");
  out.text(content.host.boot, kMaxWriterNameBytes, "length of a boot id");
  out.number(content.host.pid);
  out.number(content.host.started);
  out.number(content.version);
  out.number(static_cast<std::uint8_t>(content.resigned));
  out.number(content.first_committed);
  write_texts(out, content.committed, kMaxCommittedRoots, "number of roots");
  out.count(content.open.size(), kMaxOpenSessions, "number of open sessions");
  for (const auto& open : content.open) {
    out.number(open.number);
    out.number(open.seen.term);
    out.number(open.seen.serial);
    write_texts(out, open.roots, kMaxSessionRoots, "number of a session's roots");
  }
}

WriterRegister read_register(Decoder& in) {
  WriterRegister content;
  content.instance = in.instance();
  content.name = in.text(kMaxWriterNameBytes);
  content.host.boot = in.text(kMaxWriterNameBytes);
  content.host.pid = in.number<std::uint64_t>();
  content.host.started = in.number<std::uint64_t>();
  content.version = in.number<std::uint64_t>();
  const auto resigned = in.number<std::uint8_t>();
  in.require(resigned <= 1);
  content.resigned = resigned == 1;
  content.first_committed = in.number<std::uint64_t>();
  content.committed = read_texts(in, kMaxCommittedRoots);
  // So that no sum of the two overflows.
  in.require(content.first_committed != 0 && content.first_committed <= ~std::uint64_t{0} - kMaxCommittedRoots);
  content.open.resize(in.count(kMaxOpenSessions, 28));
  for (auto& open : content.open) {
    open.number = in.number<std::uint64_t>();
    open.seen.term = in.number<std::uint64_t>();
    open.seen.serial = in.number<std::uint64_t>();
    open.roots = read_texts(in, kMaxSessionRoots);
  }
  return content;
}

void write(Encoder& out, const CollectorState& state) {
  out.number(state.term);
  out.number(state.serial);
  out.number(state.base);
  out.number(state.floor);
  out.number(state.catalogue.term);
  out.number(state.catalogue.serial);
  out.count(state.lineage.size(), kMaxMembers, "length of the lineage");
  for (const auto& end : state.lineage) {
    out.number(end.term);
    out.number(end.serial);
  }
  out.count(state.members.size(), kMaxMembers, "number of writers");
  for (const auto& member : state.members) {
    out.number(member.seat);
    out.number(static_cast<std::uint8_t>(member.status));
    out.number(member.register_number);
    out.number(member.absorbed);
  }
  std::size_t ranges = 0;
  out.count(state.condemned.size(), kMaxCondemnedPacks, "number of condemned packs");
  for (const auto& entry : state.condemned) {
    out.text(entry.pack, kMaxPackNameBytes, "length of a pack's id");
    out.number(entry.since);
    out.number(static_cast<std::uint8_t>(entry.phase));
    out.number(entry.target);
    out.number(entry.done);
    ranges += entry.slots.size();
    out.count(entry.slots.size(), kMaxCondemnedRanges, "number of condemned slots");
    for (const auto& range : entry.slots) {
      out.number(range.first);
      out.number(range.count);
    }
  }
  if (ranges > kMaxCondemnedRanges) {
    out.fail(ErrorCode::kTooLarge, "number of condemned slots", ranges, kMaxCondemnedRanges);
  }
}

std::vector<SlotRange> read_ranges(Decoder& in) {
  std::vector<SlotRange> ranges(in.count(kMaxCondemnedRanges, 8));
  std::uint64_t end = 0;
  for (auto& range : ranges) {
    range.first = in.number<std::uint32_t>();
    range.count = in.number<std::uint32_t>();
    in.require(range.count > 0 && range.first >= end);
    end = std::uint64_t{range.first} + range.count;
    in.require(end <= std::uint64_t{1} << 32U);
  }
  return ranges;
}

CollectorState read_state(Decoder& in) {
  CollectorState state;
  state.term = in.number<std::uint64_t>();
  state.serial = in.number<std::uint64_t>();
  state.base = in.number<std::uint64_t>();
  state.floor = in.number<std::uint64_t>();
  state.catalogue.term = in.number<std::uint64_t>();
  state.catalogue.serial = in.number<std::uint64_t>();
  in.require(state.term < ~std::uint64_t{0} && state.serial < ~std::uint64_t{0} && state.base < ~std::uint64_t{0});
  state.lineage.resize(in.count(kMaxMembers, 16));
  for (auto& end : state.lineage) {
    end.term = in.number<std::uint64_t>();
    end.serial = in.number<std::uint64_t>();
  }
  state.members.resize(in.count(kMaxMembers, 25));
  std::uint64_t before = 0;
  for (auto& member : state.members) {
    member.seat = in.number<std::uint64_t>();
    in.require(member.seat > before && member.seat <= state.base);
    before = member.seat;
    const auto status = in.number<std::uint8_t>();
    in.require(status <= static_cast<std::uint8_t>(MemberStatus::kActive));
    member.status = static_cast<MemberStatus>(status);
    member.register_number = in.number<std::uint64_t>();
    in.require(member.register_number > 0 && member.register_number < ~std::uint64_t{0});
    member.absorbed = in.number<std::uint64_t>();
  }
  state.condemned.resize(in.count(kMaxCondemnedPacks, 31));
  for (auto& entry : state.condemned) {
    entry.pack = in.text(kMaxPackNameBytes);
    in.require(!entry.pack.empty());
    entry.since = in.number<std::uint64_t>();
    const auto phase = in.number<std::uint8_t>();
    in.require(phase <= static_cast<std::uint8_t>(CondemnedPhase::kDone));
    entry.phase = static_cast<CondemnedPhase>(phase);
    entry.target = in.number<std::uint64_t>();
    entry.done = in.number<std::uint64_t>();
    entry.slots = read_ranges(in);
  }
  return state;
}

void write(Encoder& out, const RootCatalogue& catalogue) {
  write_texts(out, catalogue.roots, kMaxCatalogueEntries, "number of roots");
  out.count(catalogue.generations.size(), kMaxCatalogueEntries, "number of rewritten packs");
  for (const auto& entry : catalogue.generations) {
    out.text(entry.pack, kMaxPackNameBytes, "length of a pack's id");
    out.number(entry.generation);
  }
}

RootCatalogue read_catalogue(Decoder& in) {
  RootCatalogue catalogue;
  catalogue.roots = read_texts(in, kMaxCatalogueEntries);
  in.require(std::adjacent_find(catalogue.roots.begin(), catalogue.roots.end(), std::greater_equal<>()) ==
             catalogue.roots.end());
  catalogue.generations.resize(in.count(kMaxCatalogueEntries, 10));
  for (auto& entry : catalogue.generations) {
    entry.pack = in.text(kMaxPackNameBytes);
    entry.generation = in.number<std::uint64_t>();
    in.require(!entry.pack.empty() && entry.generation > 0);
  }
  const auto out_of_order = [](const PackGeneration& a, const PackGeneration& b) { return a.pack >= b.pack; };
  in.require(std::adjacent_find(catalogue.generations.begin(), catalogue.generations.end(), out_of_order) ==
             catalogue.generations.end());
  return catalogue;
}

SessionDocument read_body(Decoder& in, std::size_t kind) {
  switch (kind) {
    case 1: {
      Claim claim;
      claim.instance = in.instance();
      claim.attempt = in.number<std::uint64_t>();
      return claim;
    }
    case 2:
      return Licence{in.instance()};
    case 3:
      return read_register(in);
    case 4:
      return read_state(in);
    case 5:
      return read_catalogue(in);
    default:
      in.fail();
      return {};
  }
}

}  // namespace

Result<std::vector<std::byte>> encode_session_document(const SessionDocument& document) {
  if (document.index() == 0) return make_error(ErrorCode::kInternal, "write a session document: there is none");
  Encoder out;
  out.raw(kMagic);
  out.number(kVersion);
  out.number(kMinimumReader);
  out.number(static_cast<std::uint32_t>(document.index()));
  std::visit([&](const auto& content) { write(out, content); }, document);
  CACS_ASSIGN(auto bytes, out.take());
  if (bytes.size() > kMaxSessionDocumentBytes) {
    return make_error(ErrorCode::kTooLarge, fmt::format("write a session document: it has {} bytes, at most {}",
                                                        bytes.size(), kMaxSessionDocumentBytes));
  }
  return bytes;
}

Result<SessionDocument> parse_session_document(std::span<const std::byte> bytes, const std::string& what) {
  const auto corrupt = [&] {
    return make_error(ErrorCode::kCorrupt, "read " + what + ": it is not what a writer or collector stores there",
                      "restore the object, or remove it if nobody knows of it");
  };
  if (bytes.size() > kMaxSessionDocumentBytes) return corrupt();
  Decoder in(bytes);
  if (in.raw(kMagic.size()) != kMagic) return corrupt();
  in.number<std::uint16_t>();
  const auto minimum_reader = in.number<std::uint16_t>();
  if (!in.failed() && minimum_reader > kVersion) {
    return make_error(
        ErrorCode::kUnsupported,
        fmt::format("read {}: it needs a reader of version {}, this one is {}", what, minimum_reader, kVersion),
        "use the newer version of cacs that wrote it");
  }
  const auto kind = in.number<std::uint32_t>();
  auto document = read_body(in, kind);
  if (!in.complete()) return corrupt();
  return document;
}

}  // namespace cacs::repository
