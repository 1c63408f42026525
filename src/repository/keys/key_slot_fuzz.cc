// Key slots, key files and the words of a command: any bytes are one or an error, and what is accepted can be used.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/hash.h"
#include "base/io.h"
#include "repository/keys/key_file.h"
#include "repository/keys/key_slot.h"
#include "repository/keys/key_source.h"

namespace {

using namespace cacs::repository;  // NOLINT(google-build-using-namespace)

void require(bool holds) {
  if (!holds) std::abort();
}

const Credential& some_key_file() {
  static const Credential kKey = SecretKey();
  return kKey;
}

void check_slot(std::span<const std::byte> bytes) {
  const auto slot = KeySlot::parse(bytes, "slot");
  if (!slot) {
    require(slot.error().code == cacs::ErrorCode::kCorrupt || slot.error().code == cacs::ErrorCode::kUnsupported);
    return;
  }
  require(std::ranges::equal(slot->encoded(), bytes));
  require(!slot->prints().empty() && slot->prints().size() <= MasterKeys::kMaxGenerations);
  require(slot->label().host.size() <= kMaxLabelBytes && slot->label().user.size() <= kMaxLabelBytes);
  require(slot->method() == SlotMethod::kKeyFile || check_cost(slot->cost()).ok());
  require(!slot->describe().empty());
  // The check value of a key of zeros would have to be guessed.
  const auto keys = slot->open(some_key_file());
  require(!keys.ok() && keys.error().code == cacs::ErrorCode::kUnauthenticated);
}

/// As one who changes a slot on purpose would leave it.
void set_checksum(std::vector<std::byte>& slot) {
  constexpr std::size_t kDigestBytes = 32;
  const cacs::Digest digest = cacs::sha256(std::span<const std::byte>(slot).first(slot.size() - kDigestBytes));
  std::ranges::copy(std::as_bytes(std::span(digest.bytes)), slot.end() - kDigestBytes);
}

const KeySlot& sound_slot() {
  static const KeySlot kSlot = [] {
    const SlotRequest request{.id = "01900000-0000-7000-8000-000000000001",
                              .repository = "01900000-0000-7000-8000-0000000000ff",
                              .label = {.host = "node1", .user = "root", .created = {}},
                              .cost = {}};
    return *KeySlot::make(request, some_key_file(), MasterKeys::random());
  }();
  return kSlot;
}

/// The input as changes to a sound slot: offset (2 bytes) and value. With any of them it does not open.
void check_changed_slot(std::span<const std::uint8_t> changes) {
  const auto sound = sound_slot().encoded();
  std::vector<std::byte> changed(sound.begin(), sound.end());
  for (; changes.size() >= 3; changes = changes.subspan(3)) {
    const std::size_t offset = changes[0] | static_cast<unsigned>(changes[1]) << 8U;
    changed[offset % changed.size()] = std::byte{changes[2]};
  }
  set_checksum(changed);
  const auto slot = KeySlot::parse(changed, "slot");
  const bool same = std::ranges::equal(changed, sound);
  if (!slot || slot->method() != SlotMethod::kKeyFile) return require(!same);
  require(slot->open(some_key_file()).ok() == same);
}

void check_key_file(std::string_view text) {
  const auto key = parse_key_file(text, "file");
  if (!key) return;
  const SecretBytes again = format_key_file(*key);
  require(again.text() == text || again.text() == std::string(text) + "\n");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_slot(bytes);
  // The same behind a checksum, which a fuzzer cannot guess.
  std::vector<std::byte> slot(bytes.begin(), bytes.end());
  slot.resize(size + 32);
  set_checksum(slot);
  check_slot(slot);
  check_changed_slot(std::span(data, size));
  check_key_file(text);
  const auto words = parse_command_words(text);
  if (words) require(!words->empty() && !words->front().empty());
  return 0;
}
