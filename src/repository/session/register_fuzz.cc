// Registers, states, catalogues, claims, licences: any bytes are one or an error; what is accepted comes out the same
// when it is written and read again. Names of objects likewise.

#include <cstdint>
#include <cstdlib>

#include "repository/session/session_documents.h"
#include "repository/session/session_keys.h"

namespace {

using namespace cacs::repository;  // NOLINT(google-build-using-namespace)

void fuzz_name(std::string_view name) {
  const auto key = parse_session_key(name);
  if (!key) return;
  std::string again;
  switch (key->kind) {
    case SessionKeyKind::kTerm:
      again =
          name.ends_with(".second") ? second_key(Chain::kTerms, key->number) : claim_key(Chain::kTerms, key->number);
      break;
    case SessionKeyKind::kSeat:
      again =
          name.ends_with(".second") ? second_key(Chain::kSeats, key->number) : claim_key(Chain::kSeats, key->number);
      break;
    case SessionKeyKind::kLicence:
      again = licence_key(key->number);
      break;
    case SessionKeyKind::kRegister:
      again = register_key(key->number, key->second);
      break;
    case SessionKeyKind::kState:
      again = state_key(key->number);
      break;
    case SessionKeyKind::kCatalogue:
      again = catalogue_key(key->number, key->second);
      break;
  }
  if (again != name) std::abort();
}

void fuzz_document(std::span<const std::byte> bytes) {
  const auto document = parse_session_document(bytes, "input");
  if (!document) return;
  const auto again = encode_session_document(*document);
  if (!again || again->size() != bytes.size()) std::abort();
  const auto reread = parse_session_document(*again, "input");
  if (!reread || *reread != *document) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  if (data[0] % 4 == 0) {
    fuzz_name({reinterpret_cast<const char*>(data) + 1, size - 1});
    return 0;
  }
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  if (data[0] % 4 != 1) {
    fuzz_document(bytes);
    return 0;
  }
  // Behind a head that is right: what a fuzzer would be long in guessing.
  std::vector<std::byte> whole;
  for (const char c : {'C', 'A', 'C', 'S', 'S', 'E', 'S', 'S'}) whole.push_back(std::byte(c));
  for (const unsigned value : {1U, 0U, 1U, 0U, 1U + data[0] / 4U % 5U, 0U, 0U, 0U}) whole.push_back(std::byte(value));
  whole.insert(whole.end(), bytes.begin(), bytes.end());
  fuzz_document(whole);
  return 0;
}
