#pragma once

#include <string>
#include <string_view>

namespace cacs {

/// A new UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then random bits from the kernel. Lexical order is order of
/// creation, to the millisecond. Any thread.
std::string new_uuid();

/// Whether `text` is a UUID in its canonical lower-case form, which is the only one that CACS writes or takes.
bool is_uuid(std::string_view text);

}  // namespace cacs
