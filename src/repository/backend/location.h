#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cacs::repository {

/// How the bucket is named in requests to an S3 store.
enum class S3Style {
  kVirtualHost,  ///< BUCKET.endpoint: what AWS wants
  kPath,         ///< endpoint/BUCKET: most other stores
};

/// Where a repository is.
struct Location {
  enum class Kind { kDirectory, kS3 };
  Kind kind = Kind::kDirectory;
  std::string path;      ///< kDirectory: as it was given
  std::string bucket;    ///< kS3, from here on
  std::string prefix;    ///< of the objects' names: "" or components as of object names, without a "/" at its ends
  std::string endpoint;  ///< "https://host[:port]"; "" is AWS
  std::string region;    ///< "" is the store's or the environment's choice
  S3Style style = S3Style::kVirtualHost;  ///< without style=: kPath if there is an endpoint

  friend bool operator==(const Location&, const Location&) = default;
};

/// The longest location, in bytes.
inline constexpr std::size_t kMaxLocation = 2048;

/// Reads "/srv/cacs", "file:///srv/cacs",
/// "s3://bucket/prefix?endpoint=https://s3.example.org:9000&region=eu&style=path". kInvalidArgument with what is wrong
/// and what would be right; kUnsupported for the scheme of another kind of store. Credentials have no place in it and
/// are refused: locations are shown and logged.
Result<Location> parse_location(std::string_view text);

/// What parse_location() makes the same Location of.
std::string format_location(const Location& location);

}  // namespace cacs::repository
