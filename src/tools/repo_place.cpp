#include "tools/repo_place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

#include "base/io.h"
#include "base/text.h"
#include "repository/backend/retry_backend.h"
#include "repository/layout.h"
#include "repository/levels/open_place.h"

namespace cacs::tools {

namespace fs = std::filesystem;

using repository::KeyEnvironment;
using repository::KeySource;
using repository::Location;

namespace {

constexpr const char* kServerState = "/var/lib/cacs";

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::optional<std::string> unless_empty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

FoundPlace place_of(Location location) {
  FoundPlace place{.location = std::move(location), .directory = {}, .key_file = {}};
  if (place.location.kind != Location::Kind::kDirectory) return place;
  place.directory = fs::absolute(place.location.path).lexically_normal();
  if (!place.directory.has_filename()) place.directory = place.directory.parent_path();
  place.location.path = place.directory;
  if (const fs::path key = place.directory.string() + ".key"; is_there(key)) place.key_file = key;
  place.of_node = place.directory.filename() == "repository" && is_there(place.directory.parent_path() / "agent.lock");
  return place;
}

/// Repositories of nodes in a server's state.
std::vector<fs::path> repositories_in(const fs::path& state) {
  std::vector<fs::path> found;
  std::error_code problem;
  for (const auto& node : fs::directory_iterator(state / "nodes", problem)) {
    const fs::path directory = node.path() / "repository";
    if (is_there(directory / repository::kDescriptorName)) found.push_back(directory);
  }
  std::sort(found.begin(), found.end());
  return found;
}

using repository::Backend;

/// Counts what is read, for people who wait.
class MeteredBackend final : public Backend {
 public:
  MeteredBackend(std::unique_ptr<Backend> inner, ReadMeter meter)
      : inner_(std::move(inner)), meter_(std::move(meter)) {}

  Result<std::unique_ptr<repository::ObjectWriter>> create(const std::string& name,
                                                           repository::Overwrite overwrite) override {
    return inner_->create(name, overwrite);
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    auto got = inner_->read(name, offset, out);
    if (got) {
      const std::lock_guard lock(mutex_);
      bytes_ += *got;
      meter_(bytes_);
    }
    return got;
  }
  Result<std::uint64_t> size(const std::string& name) override { return inner_->size(name); }
  Status list(const std::string& prefix, const std::function<Status(const repository::ObjectInfo&)>& visitor) override {
    return inner_->list(prefix, visitor);
  }
  Status remove(const std::string& name) override { return inner_->remove(name); }
  [[nodiscard]] const repository::BackendTraits& traits() const override { return inner_->traits(); }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }

 private:
  std::unique_ptr<Backend> inner_;
  ReadMeter meter_;
  std::mutex mutex_;
  std::uint64_t bytes_ = 0;
};

Error no_place() {
  return make_error(ErrorCode::kInvalidArgument, "no repository is named",
                    "name one: --repo /srv/cacs or s3://BUCKET/PREFIX, or set CACS_REPOSITORY");
}

}  // namespace

Result<FoundPlace> named_place(const cli::Context& context, const PlaceOptions& options) {
  std::string text = options.location;
  if (text.empty()) text = context.environment()("CACS_REPOSITORY").value_or("");
  if (text.empty()) return no_place();
  CACS_ASSIGN(Location location, repository::parse_location(text));
  FoundPlace place = place_of(std::move(location));
  place.alone = options.alone;
  return place;
}

Result<FoundPlace> find_place(const cli::Context& context, const PlaceOptions& options) {
  if (!options.location.empty() || context.environment()("CACS_REPOSITORY")) return named_place(context, options);
  std::vector<fs::path> states{context.explicit_state()};
  if (states.front().empty()) states = {kServerState, context.settings().state};
  for (const auto& state : states) {
    if (state.empty()) continue;
    const auto found = repositories_in(state);
    if (found.size() > 1) {
      return make_error(ErrorCode::kInvalidArgument,
                        fmt::format("{} has repositories of {} nodes", state.string(), found.size()),
                        "name one, as in --repo " + found.front().string());
    }
    if (found.size() == 1) return place_of({.kind = Location::Kind::kDirectory, .path = found.front().string()});
  }
  return no_place();
}

Result<repository::StorePlace> open_place(const FoundPlace& place, IfMissing missing) {
  if (place.location.kind == Location::Kind::kDirectory) {
    if (missing == IfMissing::kFail && !is_there(place.directory)) {
      return make_error(ErrorCode::kNotFound, "there is no repository in " + place.describe(),
                        "`cacs repo init` makes one");
    }
    return repository::local_place(place.directory);
  }
  auto connected = repository::connect_bucket(place.location);
  if (!connected) return connected.error().with_context("open " + place.describe());
  const std::shared_ptr<Backend> bucket = *std::move(connected);
  return repository::StorePlace{.backend = repository::make_retry_backend(repository::make_shared_backend(bucket)),
                                // For what was not made with sessions: a copy, as the further level of a node is.
                                .gate = place.alone ? repository::make_process_gate() : repository::make_open_gate(),
                                .plain = repository::make_shared_backend(bucket)};
}

Result<KeySource> key_source_of(const KeyOptions& options) {
  KeyEnvironment environment;
  environment.passphrase_file = unless_empty(options.passphrase_file);
  environment.passphrase_command = unless_empty(options.passphrase_command);
  environment.key_file = unless_empty(options.key_file);
  return key_source_from(environment);
}

Result<KeySource> key_source(const cli::Context& context, const KeyOptions& options, const FoundPlace& place) {
  if (!options.empty()) return key_source_of(options);
  const auto& variable = context.environment();
  const KeyEnvironment environment{.passphrase = variable("CACS_PASSPHRASE"),
                                   .passphrase_file = variable("CACS_PASSPHRASE_FILE"),
                                   .passphrase_command = variable("CACS_PASSPHRASE_COMMAND"),
                                   .key_file = variable("CACS_KEY_FILE")};
  const bool is_named =
      environment.passphrase || environment.passphrase_file || environment.passphrase_command || environment.key_file;
  if (!is_named && !place.key_file.empty()) return KeySource(repository::KeyFromKeyFile{place.key_file});
  return key_source_from(environment);
}

Result<std::unique_ptr<repository::Repository>> open_found(const cli::Context& context, const PlaceOptions& options,
                                                           const FoundPlace& place, ReadMeter meter) {
  CACS_ASSIGN(auto opened, open_place(place, IfMissing::kFail));
  if (meter) opened.backend = std::make_unique<MeteredBackend>(std::move(opened.backend), std::move(meter));
  return open_repository(std::move(opened), [&]() -> Result<repository::Credential> {
    CACS_ASSIGN(const KeySource source, key_source(context, options.key, place));
    return get_credential(source, repository::Asking::kToUnlock,
                          "Passphrase of the repository in " + place.describe() + ": ");
  });
}

Result<UniqueFd> hold_off_agent(const FoundPlace& place) {
  if (!place.of_node) return UniqueFd();
  const fs::path path = place.directory.parent_path() / "agent.lock";
  CACS_ASSIGN(UniqueFd fd, open_file(path, O_RDWR));
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return errno_error(errno, "lock " + path.string());
    return make_error(ErrorCode::kConflict, "an agent works in " + place.directory.parent_path().string(),
                      "stop the server and the agent (its pid is in agent.pid) first");
  }
  return fd;
}

}  // namespace cacs::tools
