#include "repository/levels/open_place.h"

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "repository/backend/file_backend.h"
#include "repository/backend/limited_backend.h"
#include "repository/backend/object_name.h"
#include "repository/backend/retry_backend.h"
#include "repository/backend/s3_backend.h"
#include "repository/gate.h"

namespace cacs::repository {

namespace {

Result<std::unique_ptr<Backend>> connect(const Location& location) {
  if (location.kind == Location::Kind::kDirectory) {
    CACS_TRY(make_directories(location.path, 0700));
    auto backend = make_file_backend(make_file_storage(location.path));
    // A convenience: what stays is only space.
    if (const auto removed = backend->remove_stale_temporaries(StaleOf::kThisHost); !removed) {
      spdlog::warn("open {}: {}", location.path, removed.error().to_string());
    }
    return std::unique_ptr<Backend>(std::move(backend));
  }
  return connect_bucket(location);
}

}  // namespace

Result<std::unique_ptr<Backend>> connect_bucket(const Location& location) {
  S3Options options = s3_options(location);
  const AwsEnvironment environment = process_environment();
  CACS_TRY(complete_s3_options(options, environment));
  CACS_ASSIGN(auto backend, S3Backend::open(std::move(options), default_credentials(environment)));
  return std::unique_ptr<Backend>(std::move(backend));
}

Result<std::unique_ptr<Backend>> open_store(const Location& location, const PlaceOptions& options) {
  CACS_ASSIGN(auto backend, connect(location));
  // The limit below the tries, so that what is sent twice counts twice.
  if (options.upload_rate > 0) {
    backend = make_limited_backend(std::move(backend), {.upload_rate = options.upload_rate, .stop = options.stop});
  }
  return make_retry_backend(std::move(backend),
                            {.stop = options.stop, .on_retry = [](const Error& error, std::chrono::nanoseconds delay) {
                               spdlog::info("{}; again in {} ms", error.message, delay / std::chrono::milliseconds(1));
                             }});
}

Result<RemotePlace> remote_place(std::string_view location, const PlaceOptions& options) {
  CACS_ASSIGN(const Location parsed, parse_location(location));
  RemotePlace place{.connect = [parsed, options] { return open_store(parsed, options); },
                    .name = format_location(parsed)};
  if (parsed.kind == Location::Kind::kDirectory) place.gate = [path = parsed.path] { return make_file_gate(path); };
  return place;
}

Result<Location> place_below(const Location& location, std::string_view name) {
  CACS_TRY(check_object_name(name));
  Location below = location;
  if (location.kind == Location::Kind::kDirectory) {
    below.path += (below.path.ends_with('/') ? "" : "/") + std::string(name);
  } else {
    below.prefix += (below.prefix.empty() ? "" : "/") + std::string(name);
  }
  return below;
}

}  // namespace cacs::repository
