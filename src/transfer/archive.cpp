#include "transfer/archive.h"

#include <algorithm>
#include <cstring>

#include "base/io.h"
#include "repository/bytes.h"

namespace cacs::transfer {

namespace {

using repository::ByteReader;
using repository::ByteWriter;
using repository::Credential;
using repository::Passphrase;
using repository::Sealer;
using repository::Sealing;
using repository::SecretKey;
using repository::SlotMethod;

constexpr std::string_view kMagic = "CACSCKPT";
constexpr std::uint16_t kVersion = 1;
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kBlockHeaderBytes = 16;
constexpr std::uint8_t kLast = 1;
constexpr std::string_view kKeyInfo = "cacs export";
constexpr repository::Compression kCompression{.codec = repository::Codec::kZstd, .level = 3};

using Header = std::array<std::byte, kArchiveHeaderBytes>;

Error corrupt(const std::string& why) {
  return make_error(ErrorCode::kCorrupt, "the exported checkpoint is not whole: " + why,
                    "copy it again from where it was made");
}

struct HeaderFields {
  Sealing sealing = Sealing::kNone;
  std::uint8_t method = 0;  ///< SlotMethod, or 0
  std::array<std::byte, kSaltBytes> salt{};
  repository::ScryptCost cost{.n = 0, .r = 0, .p = 0};
};

Header encode(const HeaderFields& fields) {
  ByteWriter out;
  out.text(kMagic);
  out.number(kVersion);
  out.number(kVersion);
  out.number(static_cast<std::uint8_t>(fields.sealing));
  out.number(fields.method);
  out.zeros(2);
  out.raw(fields.salt);
  out.number(fields.cost.n);
  out.number(fields.cost.r);
  out.number(fields.cost.p);
  out.zeros(4);
  Header header{};
  std::memcpy(header.data(), out.view().data(), header.size());
  return header;
}

Result<HeaderFields> decode(const Header& header) {
  ByteReader in(header);
  if (in.text(kMagic.size()) != kMagic) {
    return make_error(ErrorCode::kCorrupt, "this is not an exported checkpoint", "`cacs checkpoint export` makes one");
  }
  (void)in.number<std::uint16_t>();
  if (in.number<std::uint16_t>() > kVersion) {
    return make_error(ErrorCode::kUnsupported, "the exported checkpoint is of a newer version",
                      "import it with a newer cacs");
  }
  HeaderFields fields;
  CACS_ASSIGN(fields.sealing, repository::sealing_from_number(in.number<std::uint8_t>()));
  fields.method = in.number<std::uint8_t>();
  bool sound = in.zeros(2);
  fields.salt = in.bytes<kSaltBytes>();
  fields.cost.n = in.number<std::uint32_t>();
  fields.cost.r = in.number<std::uint32_t>();
  fields.cost.p = in.number<std::uint32_t>();
  sound = in.zeros(4) && sound;
  const bool is_sealed = fields.sealing != Sealing::kNone;
  if (!sound || fields.method > static_cast<std::uint8_t>(SlotMethod::kKeyFile) || is_sealed != (fields.method != 0)) {
    return corrupt("its header is damaged");
  }
  return fields;
}

Result<SecretKey> key_of(const HeaderFields& fields, const Credential& credential) {
  if (const auto* key = std::get_if<SecretKey>(&credential)) return derive_key(*key, kKeyInfo, fields.salt);
  CACS_TRY(repository::check_cost(fields.cost));
  std::array<std::byte, SecretKey::kBytes> bytes{};
  CACS_TRY(repository::scrypt(std::get<Passphrase>(credential).bytes(), fields.salt, fields.cost, bytes));
  return derive_key(SecretKey(bytes), kKeyInfo, fields.salt);
}

using BlockHeader = std::array<std::byte, kBlockHeaderBytes>;

BlockHeader encode_block(std::size_t stored, std::size_t raw, repository::Codec codec, bool last) {
  ByteWriter out;
  out.number(static_cast<std::uint32_t>(stored));
  out.number(static_cast<std::uint32_t>(raw));
  out.number(static_cast<std::uint8_t>(codec));
  out.number(last ? kLast : std::uint8_t{0});
  out.zeros(6);
  BlockHeader header{};
  std::memcpy(header.data(), out.view().data(), header.size());
  return header;
}

std::vector<std::byte> context_of(const Header& header, const BlockHeader& block) {
  std::vector<std::byte> context(header.begin(), header.end());
  context.insert(context.end(), block.begin(), block.end());
  return context;
}

}  // namespace

Result<std::unique_ptr<ArchiveWriter>> ArchiveWriter::begin(WriteBytes out, const Credential* credential,
                                                            const ArchiveSeal& seal) {
  HeaderFields fields;
  SecretKey key;
  if (credential != nullptr) {
    const bool passphrase = std::holds_alternative<Passphrase>(*credential);
    fields.sealing = seal.sealing;
    fields.method = static_cast<std::uint8_t>(passphrase ? SlotMethod::kPassphrase : SlotMethod::kKeyFile);
    if (passphrase) fields.cost = seal.cost;
    const SecretKey salt = SecretKey::random();
    std::memcpy(fields.salt.data(), salt.bytes().data(), fields.salt.size());
    CACS_ASSIGN(key, key_of(fields, *credential));
  }
  const Header header = encode(fields);
  CACS_TRY(out(header));
  return std::unique_ptr<ArchiveWriter>(new ArchiveWriter(std::move(out), header, Sealer(fields.sealing, key)));
}

Status ArchiveWriter::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    if (block_.size() == kArchiveBlockBytes) CACS_TRY(flush(false));
    const std::size_t count = std::min(bytes.size(), kArchiveBlockBytes - block_.size());
    block_.insert(block_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    bytes = bytes.subspan(count);
  }
  return {};
}

Status ArchiveWriter::flush(bool last) {
  packed_.clear();
  const repository::Codec codec = codec_.compress(block_, kCompression, packed_);
  const BlockHeader header = encode_block(packed_.size() + repository::kTagBytes, block_.size(), codec, last);
  std::vector<std::byte> sealed(packed_.size() + repository::kTagBytes);
  sealer_.seal(number_++, context_of(header_, header), packed_, sealed);
  block_.clear();
  CACS_TRY(out_(header));
  return out_(sealed);
}

Status ArchiveWriter::finish() { return flush(true); }

Result<std::unique_ptr<ArchiveReader>> ArchiveReader::open(ReadBytes in, const AskCredential& ask) {
  Header header{};
  std::size_t have = 0;
  while (have < header.size()) {
    CACS_ASSIGN(const std::size_t got, in(std::span(header).subspan(have)));
    if (got == 0) break;
    have += got;
  }
  CACS_ASSIGN(const HeaderFields fields, decode(header));
  if (have < header.size()) return corrupt("it ends in its header");
  SecretKey key;
  if (fields.sealing != Sealing::kNone) {
    if (fields.method == static_cast<std::uint8_t>(SlotMethod::kPassphrase))
      CACS_TRY(repository::check_cost(fields.cost));
    CACS_ASSIGN(const Credential credential, ask(static_cast<SlotMethod>(fields.method)));
    if (std::holds_alternative<SecretKey>(credential) !=
        (fields.method == static_cast<std::uint8_t>(SlotMethod::kKeyFile))) {
      return make_error(ErrorCode::kUnauthenticated, "the exported checkpoint is not sealed with such a secret",
                        fields.method == static_cast<std::uint8_t>(SlotMethod::kPassphrase) ? "it takes a passphrase"
                                                                                            : "it takes a key file");
    }
    CACS_ASSIGN(key, key_of(fields, credential));
  }
  return std::unique_ptr<ArchiveReader>(
      new ArchiveReader(std::move(in), header, fields.sealing, Sealer(fields.sealing, key)));
}

Result<std::size_t> ArchiveReader::fill(std::span<std::byte> out) {
  std::size_t have = 0;
  while (have < out.size()) {
    CACS_ASSIGN(const std::size_t got, in_(out.subspan(have)));
    if (got == 0) break;
    have += got;
  }
  return have;
}

Status ArchiveReader::next_block() {
  BlockHeader header{};
  CACS_ASSIGN(const std::size_t have, fill(header));
  if (have < header.size()) return corrupt("it is cut short");
  ByteReader in(header);
  const auto stored = in.number<std::uint32_t>();
  const auto raw = in.number<std::uint32_t>();
  const auto codec = in.number<std::uint8_t>();
  const auto flags = in.number<std::uint8_t>();
  if (!in.zeros(6) || raw > kArchiveBlockBytes || stored < repository::kTagBytes ||
      stored > raw + repository::kTagBytes || (flags & ~kLast) != 0) {
    return corrupt("the head of block " + std::to_string(number_) + " is damaged");
  }
  sealed_.resize(stored);
  CACS_ASSIGN(const std::size_t body, fill(sealed_));
  if (body < stored) return corrupt("it is cut short");
  packed_.resize(stored - repository::kTagBytes);
  const Status opened = sealer_.open(number_, context_of(header_, header), sealed_, packed_);
  if (!opened && number_ == 0 && sealed()) {
    return make_error(ErrorCode::kUnauthenticated,
                      "the exported checkpoint does not open: the passphrase or key is not its own, or it is damaged",
                      "give the one that it was exported with");
  }
  if (!opened) return corrupt("block " + std::to_string(number_) + " was changed");
  block_.resize(raw);
  const Status expanded = codec_.expand(packed_, static_cast<repository::Codec>(codec), block_);
  if (!expanded) return corrupt("block " + std::to_string(number_) + " does not expand");
  taken_ = 0;
  ++number_;
  last_ = (flags & kLast) != 0;
  if (!last_ && raw != kArchiveBlockBytes) return corrupt("a block before the last is short");
  if (!last_) return {};
  std::array<std::byte, 1> more{};
  CACS_ASSIGN(const std::size_t behind, fill(more));
  if (behind > 0) return corrupt("it goes on after its end");
  return {};
}

Result<std::size_t> ArchiveReader::read(std::span<std::byte> out) {
  std::size_t have = 0;
  while (have < out.size()) {
    if (taken_ == block_.size()) {
      if (last_) break;
      CACS_TRY(next_block());
      continue;
    }
    const std::size_t count = std::min(out.size() - have, block_.size() - taken_);
    std::memcpy(out.data() + have, block_.data() + taken_, count);
    taken_ += count;
    have += count;
  }
  return have;
}

}  // namespace cacs::transfer
