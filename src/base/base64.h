#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs {

/// RFC 4648 with padding, for bytes in JSON.
std::string base64_encode(std::string_view bytes);

/// Bytes of standard base64 (RFC 4648, with padding). kInvalidArgument for anything else.
Result<std::string> base64_decode(std::string_view text);

}  // namespace cacs
