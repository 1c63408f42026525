#include "repository/keys/key_slot.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "base/hash.h"
#include "base/io.h"
#include "base/text.h"
#include "base/uuid.h"
#include "repository/keys/slot_bytes.h"

namespace cacs::repository {

namespace {

constexpr std::string_view kMagic = "CACSKEYS";
constexpr std::uint16_t kVersion = 1;
constexpr std::uint16_t kMinimumReader = 1;
constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kUuidBytes = 36;
constexpr std::size_t kFixedHeadBytes = 168;
constexpr std::size_t kPrintBytes = sizeof(KeyPrint);

Error corrupt(std::string_view what, std::string_view why) {
  return make_error(ErrorCode::kCorrupt, std::string(what) + " is damaged: " + std::string(why),
                    "unlock with another slot, and then remove this one or make it anew");
}

SlotMethod method_of(const Credential& credential) {
  return std::holds_alternative<Passphrase>(credential) ? SlotMethod::kPassphrase : SlotMethod::kKeyFile;
}

std::string_view method_name(SlotMethod method) {
  return method == SlotMethod::kPassphrase ? "passphrase" : "key file";
}

Status check_request(const SlotRequest& request, const Credential& credential) {
  if (!is_uuid(request.id) || !is_uuid(request.repository))
    return make_error(ErrorCode::kInvalidArgument, "make a key slot: its id or its repository's is not a UUID");
  if (request.label.host.size() > kMaxLabelBytes || request.label.user.size() > kMaxLabelBytes) {
    return make_error(ErrorCode::kInvalidArgument, "make a key slot: host or user of its label is longer than " +
                                                       std::to_string(kMaxLabelBytes) + " bytes");
  }
  const auto* const passphrase = std::get_if<Passphrase>(&credential);
  if (passphrase == nullptr) return {};
  if (passphrase->bytes().size() < Passphrase::kMinNewBytes) {
    return make_error(
        ErrorCode::kInvalidArgument,
        "make a key slot: the passphrase is shorter than " + std::to_string(Passphrase::kMinNewBytes) + " bytes",
        "take a longer one (some words), or a key file");
  }
  return check_cost(request.cost).context("make a key slot");
}

Digest digest_of(std::span<const std::byte> bytes) { return sha256(bytes.first(bytes.size() - kDigestBytes)); }

bool has_digest(std::span<const std::byte> bytes) {
  const Digest digest = digest_of(bytes);
  return std::ranges::equal(std::as_bytes(std::span(digest.bytes)), bytes.last(kDigestBytes));
}

}  // namespace

/// What follows from a credential and the slot's salt, for this slot alone.
struct KeySlot::Secrets {
  SecretKey seal;
  std::array<std::byte, 16> check{};
};

Result<KeySlot::Secrets> KeySlot::secrets_of(const Credential& credential) const {
  SecretKey base;
  if (const auto* passphrase = std::get_if<Passphrase>(&credential)) {
    SecretBytes stretched(SecretKey::kBytes);
    CACS_TRY(scrypt(passphrase->bytes(), salt_, cost_, stretched.bytes()).context("open " + describe()));
    base = SecretKey(std::as_const(stretched).bytes().first<SecretKey::kBytes>());
  } else {
    base = derive_key(std::get<SecretKey>(credential), "cacs key slot file", salt_);
  }
  Secrets secrets{.seal = derive_key(base, "cacs key slot seal")};
  hkdf_sha256(base.bytes(), {}, as_bytes("cacs key slot check"), secrets.check);
  return secrets;
}

std::vector<std::byte> KeySlot::encode_head(std::span<const std::byte> check) const {
  SlotWriter out;
  out.bytes(as_bytes(kMagic));
  out.number(kVersion);
  out.number(kMinimumReader);
  out.number(static_cast<std::uint8_t>(method_));
  out.zeros(3);
  out.bytes(as_bytes(id_));
  out.bytes(as_bytes(repository_));
  out.number(static_cast<std::uint64_t>(label_.created.time_since_epoch().count()));
  out.number(cost_.n);
  out.number(cost_.r);
  out.number(cost_.p);
  out.number(static_cast<std::uint32_t>(prints_.size()));
  out.bytes(salt_);
  out.bytes(check);
  out.number(static_cast<std::uint16_t>(label_.host.size()));
  out.number(static_cast<std::uint16_t>(label_.user.size()));
  const std::size_t variable = label_.host.size() + label_.user.size() + kPrintBytes * prints_.size();
  out.number(static_cast<std::uint32_t>(kFixedHeadBytes + variable));
  out.bytes(as_bytes(label_.host));
  out.bytes(as_bytes(label_.user));
  for (const KeyPrint& print : prints_) out.bytes(print);
  return out.take();
}

Result<KeySlot> KeySlot::make(const SlotRequest& request, const Credential& credential, const MasterKeys& keys) {
  CACS_TRY(check_request(request, credential));
  KeySlot slot;
  slot.id_ = request.id;
  slot.repository_ = request.repository;
  slot.label_ = request.label;
  slot.method_ = method_of(credential);
  slot.cost_ = slot.method_ == SlotMethod::kPassphrase ? request.cost : ScryptCost{.n = 0, .r = 0, .p = 0};
  slot.prints_ = keys.prints();
  const SecretKey salt = SecretKey::random();
  std::ranges::copy(salt.bytes(), slot.salt_.begin());
  CACS_ASSIGN(const Secrets secrets, slot.secrets_of(credential));
  slot.check_ = secrets.check;

  slot.encoded_ = slot.encode_head(slot.check_);
  slot.head_bytes_ = slot.encoded_.size();
  SecretBytes plain(SecretKey::kBytes * keys.generations().size());
  auto* to = plain.bytes().data();
  for (const SecretKey& key : keys.generations()) to = std::ranges::copy(key.bytes(), to).out;
  std::vector<std::byte> sealed(plain.bytes().size() + kTagBytes);
  // The key follows from a salt that nobody had before, so it seals this and never anything else.
  Sealer(Sealing::kAes256Gcm, secrets.seal).seal(0, slot.encoded_, plain.bytes(), sealed);
  slot.encoded_.insert(slot.encoded_.end(), sealed.begin(), sealed.end());
  const Digest digest = sha256(slot.encoded_);
  const auto digest_bytes = std::as_bytes(std::span(digest.bytes));
  slot.encoded_.insert(slot.encoded_.end(), digest_bytes.begin(), digest_bytes.end());
  return slot;
}

Result<KeySlot> KeySlot::parse(std::span<const std::byte> bytes, std::string_view what) {
  if (bytes.size() < kFixedHeadBytes + kTagBytes + kDigestBytes) return corrupt(what, "it is too short");
  if (bytes.size() > kMaxKeySlotBytes) return corrupt(what, "it is too long");
  if (!std::ranges::equal(bytes.first(kMagic.size()), as_bytes(kMagic))) return corrupt(what, "it is no key slot");
  if (!has_digest(bytes)) return corrupt(what, "its checksum is not that of its bytes");
  KeySlot slot;
  CACS_TRY(slot.parse_fields(bytes, what));
  slot.encoded_.assign(bytes.begin(), bytes.end());
  return slot;
}

Status KeySlot::parse_fields(std::span<const std::byte> bytes, std::string_view what) {
  SlotReader in(bytes.first(bytes.size() - kDigestBytes));
  in.take(kMagic.size());
  const auto version = in.number<std::uint16_t>();
  const auto minimum_reader = in.number<std::uint16_t>();
  if (version < 1 || minimum_reader < 1) return corrupt(what, "it names no version");
  const auto method = in.number<std::uint8_t>();
  if (minimum_reader > kVersion || method < 1 || method > static_cast<std::uint8_t>(SlotMethod::kKeyFile)) {
    return make_error(ErrorCode::kUnsupported, std::string(what) + " was made by a newer version",
                      "upgrade, or unlock with another slot");
  }
  method_ = SlotMethod{method};
  const bool reserved_clear = in.zeros(3);
  id_ = in.text(kUuidBytes);
  repository_ = in.text(kUuidBytes);
  if (!reserved_clear || !is_uuid(id_) || !is_uuid(repository_)) return corrupt(what, "its ids are none");
  constexpr std::uint64_t kLastInstant = 253'402'300'799'999;  // the end of the year 9999
  const auto created = in.number<std::uint64_t>();
  if (created > kLastInstant) return corrupt(what, "its time is none");
  label_.created = WallTime(std::chrono::milliseconds(static_cast<std::int64_t>(created)));
  cost_.n = in.number<std::uint32_t>();
  cost_.r = in.number<std::uint32_t>();
  cost_.p = in.number<std::uint32_t>();
  const bool cost_sound =
      method_ == SlotMethod::kPassphrase ? check_cost(cost_).ok() : cost_ == ScryptCost{.n = 0, .r = 0, .p = 0};
  if (!cost_sound) return corrupt(what, "what it says of scrypt is out of bounds");
  const auto generations = in.number<std::uint32_t>();
  if (generations < 1 || generations > MasterKeys::kMaxGenerations)
    return corrupt(what, "its number of generations is out of bounds");
  in.fill(salt_);
  in.fill(check_);
  const auto host_bytes = in.number<std::uint16_t>();
  const auto user_bytes = in.number<std::uint16_t>();
  head_bytes_ = in.number<std::uint32_t>();
  const std::size_t known = kFixedHeadBytes + host_bytes + user_bytes + kPrintBytes * generations;
  const std::size_t sealed = SecretKey::kBytes * generations + kTagBytes;
  // A later version may have more in its head, which is authenticated and passed over here.
  if (host_bytes > kMaxLabelBytes || user_bytes > kMaxLabelBytes || head_bytes_ < known ||
      (version == kVersion && head_bytes_ != known) || bytes.size() - kDigestBytes != head_bytes_ + sealed)
    return corrupt(what, "its lengths do not fit together");
  label_.host = in.text(host_bytes);
  label_.user = in.text(user_bytes);
  prints_.resize(generations);
  for (KeyPrint& print : prints_) in.fill(print);
  return in.failed() ? Status(corrupt(what, "it ends too early")) : ok_status();
}

Result<MasterKeys> KeySlot::open(const Credential& credential) const {
  const auto wrong = [&] {
    const std::string given(method_name(method_of(credential)));
    return make_error(ErrorCode::kUnauthenticated,
                      "open " + describe() + ": the " + given + " is not that of this slot",
                      "check which slot the " + given + " belongs to");
  };
  if (method_of(credential) != method_) return wrong();
  CACS_ASSIGN(const Secrets secrets, secrets_of(credential));
  if (CRYPTO_memcmp(secrets.check.data(), check_.data(), check_.size()) != 0) return wrong();

  const std::span<const std::byte> bytes = encoded_;
  const auto sealed = bytes.first(bytes.size() - kDigestBytes).subspan(head_bytes_);
  SecretBytes plain(sealed.size() - kTagBytes);
  const Status opened =
      Sealer(Sealing::kAes256Gcm, secrets.seal).open(0, bytes.first(head_bytes_), sealed, plain.bytes());
  // The credential was right: whoever made these bytes what they are did not know it.
  if (!opened) return corrupt(describe(), "its seal is broken, it was changed after it was made");
  std::vector<SecretKey> generations;
  generations.reserve(prints_.size());
  for (std::size_t at = 0; at < plain.bytes().size(); at += SecretKey::kBytes)
    generations.emplace_back(std::as_const(plain).bytes().subspan(at).first<SecretKey::kBytes>());
  CACS_ASSIGN(MasterKeys keys, MasterKeys::from(std::move(generations)));
  if (keys.prints() != prints_) return corrupt(describe(), "it holds other keys than it says");
  return keys;
}

Result<KeySlot> KeySlot::resealed(const Credential& credential, const MasterKeys& keys) const {
  const ScryptCost cost = method_ == SlotMethod::kPassphrase ? cost_ : ScryptCost{};
  return make({.id = id_, .repository = repository_, .label = label_, .cost = cost}, credential, keys);
}

std::string KeySlot::describe() const {
  return "slot " + id_ + " (" + std::string(method_name(method_)) + " of " + printable(label_.user) + " on " +
         printable(label_.host) + ", " + format_time(label_.created) + ")";
}

}  // namespace cacs::repository
