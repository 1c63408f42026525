#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string_view>

#include "base/result.h"
#include "repository/backend/location.h"
#include "repository/levels/remote_level.h"

namespace cacs::repository {

struct PlaceOptions {
  std::uint64_t upload_rate = 0;  ///< bytes a second, what is sent twice included; 0: no limit
  std::stop_token stop;           ///< ends waiting: for the rate, and before something is tried again
};

/// A bucket as it is, without further tries, reached with the credentials of the environment (docs/s3.md).
Result<std::unique_ptr<Backend>> connect_bucket(const Location& location);

/// Opens the store at a location: a directory is made if need be; a bucket has to be there. What may pass is tried
/// again (retry_backend.h), within two minutes.
Result<std::unique_ptr<Backend>> open_store(const Location& location, const PlaceOptions& options);

/// The remote level at a location, opened when it is needed. kInvalidArgument for what is no location.
Result<RemotePlace> remote_place(std::string_view location, const PlaceOptions& options);

/// The location of `name` (a component of an object's name) below another: for a level of its own for each node.
Result<Location> place_below(const Location& location, std::string_view name);

}  // namespace cacs::repository
