#include "repository/backend/s3_probe.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <thread>

#include "base/hash.h"
#include "base/io.h"
#include "base/uuid.h"
#include "repository/backend/s3_objects.h"

namespace cacs::repository {

namespace {

constexpr int kRaces = 4;
constexpr std::size_t kRacers = 3;

class Probe {
 public:
  explicit Probe(S3Client& client)
      : client_(client), key_(client.options().prefix + "probe/" + new_uuid()), doing_("probe " + client.describe()) {}
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  ~Probe() {
    for (const auto& key : written_) {
      const auto status = s3_remove(client_, key, doing_);
      if (!status.ok()) spdlog::warn("a probe left {}: {}", key, status.error().to_string());
    }
  }

  Result<S3Abilities> run() {
    S3Abilities found;
    // First of all: its failures say best what is wrong with keys, bucket or region.
    CACS_TRY(s3_list(client_, key_, "", doing_));
    CACS_TRY(write(key_, "one"));
    CACS_TRY(expect(key_, "one"));
    CACS_ASSIGN(const auto page, s3_list(client_, key_, "", doing_));
    found.current_listing = page.entries.size() == 1 && !is_swift_;
    CACS_TRY(write(key_, "another"));
    CACS_TRY(expect(key_, "another"));
    CACS_ASSIGN(found.integrity, integrity());
    CACS_ASSIGN(found.conditional_put, conditional_put());
    if (found.conditional_put) {
      CACS_ASSIGN(found.conditional_complete, conditional_complete());
    }
    CACS_TRY(s3_remove(client_, key_, doing_));
    std::array<std::byte, 16> bytes{};
    const auto removed = s3_read(client_, key_, 0, bytes, doing_);
    if (removed.ok()) return not_current("removed");
    if (removed.error().code != ErrorCode::kNotFound) return removed.error();
    return found;
  }

 private:
  [[nodiscard]] Error not_current(std::string_view what) const {
    return make_error(ErrorCode::kUnsupported,
                      fmt::format("{}: an object that was just {} is not seen so", doing_, what),
                      "a repository needs a store with read-after-write consistency by name");
  }

  Status write(const std::string& key, std::string text) {
    if (std::ranges::find(written_, key) == written_.end()) written_.push_back(key);
    CACS_ASSIGN(const auto answer, client_.call({.method = "PUT", .key = key, .body = std::move(text)}, doing_));
    etag_ = answer.headers.get("ETag");
    // Swift's listings and conditions depend on servers that may be behind one another, which no probe can see.
    is_swift_ = answer.headers.find("X-Openstack-Request-Id") != nullptr;
    return {};
  }

  Status expect(const std::string& key, std::string_view text) {
    std::array<std::byte, 16> bytes{};
    CACS_ASSIGN(const std::size_t count, s3_read(client_, key, 0, bytes, doing_));
    if (std::ranges::equal(std::span(bytes).first(count), as_bytes(text))) return {};
    return not_current("written");
  }

  /// Sends a body with the hash of another one.
  Result<S3Integrity> integrity() {
    S3Request request{.method = "PUT", .key = key_, .body = "not this", .payload_sha256 = sha256("but that").to_hex()};
    CACS_ASSIGN(const auto answer, client_.send(request, doing_));
    if (answer.status == 400 || answer.status == 403) {
      CACS_TRY(expect(key_, "another"));
      return S3Integrity::kPayloadHash;
    }
    if (!is_success(answer)) return client_.failure(answer, doing_);
    CACS_TRY(write(key_, "another"));
    constexpr std::string_view kMd5 = "\"b32d73e56ec99bc5ec8f83871cde708a\"";
    return etag_ == kMd5 ? S3Integrity::kEtag : S3Integrity::kNone;
  }

  /// Whether If-None-Match: * is obeyed: alone, and by several at once, of which one has to win.
  Result<bool> conditional_put() {
    std::string body = "taken";
    const auto refused = s3_put(client_, key_, body, S3Condition::kAbsent, S3Integrity::kNone, doing_);
    if (refused.ok() || refused.error().code != ErrorCode::kConflict) return no_condition(refused);
    CACS_TRY(expect(key_, "another"));
    for (int round = 0; round < kRaces; ++round) {
      CACS_ASSIGN(const std::size_t winners, race(key_ + "-" + std::to_string(round)));
      if (winners != 1) return false;
    }
    return true;
  }

  /// Stores that do not know the header ignore it (then the object was replaced) or refuse the request.
  Result<bool> no_condition(const Status& status) {
    if (!status.ok() && status.error().code == ErrorCode::kUnavailable) return status.error();
    CACS_TRY(write(key_, "another"));
    return false;
  }

  Result<std::size_t> race(const std::string& key) {
    written_.push_back(key);
    std::array<Status, kRacers> outcomes;
    {
      std::vector<std::jthread> racers;
      racers.reserve(kRacers);
      for (auto& outcome : outcomes) {
        racers.emplace_back([&] {
          std::string body = "racer";
          outcome = s3_put(client_, key, body, S3Condition::kAbsent, S3Integrity::kNone, doing_);
        });
      }
    }
    std::size_t winners = 0;
    for (const auto& outcome : outcomes) {
      if (outcome.ok()) ++winners;
      if (!outcome.ok() && outcome.error().code != ErrorCode::kConflict) return outcome.error();
    }
    return winners;
  }

  Result<bool> conditional_complete() {
    CACS_ASSIGN(const std::string id, s3_begin_upload(client_, key_, doing_));
    const auto refused = complete(id);
    static_cast<void>(s3_abort_upload(client_, key_, id, doing_));
    client_.upload_ends(id);
    if (refused.ok() || refused.error().code != ErrorCode::kConflict) return no_condition(refused);
    CACS_TRY(expect(key_, "another"));
    return true;
  }

  Status complete(const std::string& id) {
    std::string body = "part";
    CACS_ASSIGN(auto etag, s3_upload_part(client_, key_, id, 1, body, S3Integrity::kNone, doing_));
    return s3_complete_upload(client_, key_, id, {std::move(etag)}, S3Condition::kAbsent, doing_);
  }

  S3Client& client_;
  const std::string key_;
  const std::string doing_;
  std::string etag_;
  bool is_swift_ = false;
  std::vector<std::string> written_;
};

}  // namespace

Result<S3Abilities> probe_s3(S3Client& client) { return Probe(client).run(); }

}  // namespace cacs::repository
