#pragma once

#include <string>
#include <string_view>

namespace cacs::agent {

/// RFC 4648 with padding, for bytes in JSON.
std::string base64_encode(std::string_view bytes);

}  // namespace cacs::agent
