#include "repository/backend/s3_backend.h"

#include <optional>

#include "repository/backend/object_name.h"
#include "repository/backend/s3_objects.h"
#include "repository/backend/s3_probe.h"
#include "repository/backend/s3_writer.h"

namespace cacs::repository {

S3Backend::S3Backend(std::unique_ptr<S3Client> client, const S3Abilities& abilities)
    : client_(std::move(client)),
      abilities_(abilities),
      traits_{.exclusive_create = abilities.conditional_put && abilities.conditional_complete,
              .current_listing = abilities.current_listing,
              .local = false} {}

S3Backend::~S3Backend() = default;

Result<std::unique_ptr<S3Backend>> S3Backend::open(S3Options options, std::shared_ptr<CredentialSource> credentials) {
  CACS_ASSIGN(auto client, S3Client::make(std::move(options), std::move(credentials)));
  S3Abilities abilities;
  if (client->options().abilities) {
    abilities = *client->options().abilities;
  } else {
    CACS_ASSIGN(abilities, probe_s3(*client));
  }
  return std::unique_ptr<S3Backend>(new S3Backend(std::move(client), abilities));
}

std::string S3Backend::describe() const { return client_->describe(); }

Result<std::unique_ptr<ObjectWriter>> S3Backend::create(const std::string& name, Overwrite overwrite) {
  CACS_TRY(check_object_name(name));
  return std::unique_ptr<ObjectWriter>(std::make_unique<S3Writer>(*client_, abilities_, name, overwrite));
}

Result<std::size_t> S3Backend::read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) {
  CACS_TRY(check_object_name(name));
  const std::string doing = client_->doing("read", name, "of");
  if (out.empty()) {
    CACS_TRY(s3_head(*client_, client_->options().prefix + name, doing));
    return std::size_t{0};
  }
  return s3_read(*client_, client_->options().prefix + name, offset, out, doing);
}

Result<std::uint64_t> S3Backend::size(const std::string& name) {
  CACS_TRY(check_object_name(name));
  CACS_ASSIGN(const S3Head head,
              s3_head(*client_, client_->options().prefix + name, client_->doing("look at", name, "of")));
  return head.size;
}

Status S3Backend::list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) {
  CACS_TRY(check_prefix(prefix));
  const std::string& root = client_->options().prefix;
  const std::string doing = client_->doing("list", prefix.empty() ? "everything" : prefix, "of");
  std::string token;
  do {
    CACS_ASSIGN(auto page, s3_list(*client_, root + prefix, token, doing));
    for (const auto& entry : page.entries) {
      if (!entry.key.starts_with(root + prefix)) continue;
      ObjectInfo info{entry.key.substr(root.size()), entry.size};
      if (!check_object_name(info.name)) continue;  // what others put there is no object
      CACS_TRY(visitor(info));
    }
    token = std::move(page.next);
  } while (!token.empty());
  return {};
}

Status S3Backend::remove(const std::string& name) {
  CACS_TRY(check_object_name(name));
  return s3_remove(*client_, client_->options().prefix + name, client_->doing("remove", name, "from"));
}

namespace {

/// Calls `visit` with every unfinished upload below the key prefix, and with the store's time.
Status each_upload(S3Client& client, const std::string& prefix, const std::string& doing,
                   const std::function<Status(S3Upload&, std::optional<std::chrono::sys_seconds>)>& visit) {
  std::string key_marker;
  std::string id_marker;
  do {
    CACS_ASSIGN(auto found, s3_list_uploads(client, prefix, key_marker, id_marker, doing));
    for (auto& upload : found.page.uploads) {
      if (upload.key.starts_with(prefix)) CACS_TRY(visit(upload, found.now));
    }
    key_marker = std::move(found.page.next_key);
    id_marker = std::move(found.page.next_id);
  } while (!key_marker.empty());
  return {};
}

}  // namespace

Result<std::vector<S3Upload>> S3Backend::uploads(const std::string& prefix) {
  CACS_TRY(check_prefix(prefix));
  std::vector<S3Upload> all;
  CACS_TRY(each_upload(*client_, client_->options().prefix + prefix, client_->doing("list uploads of", prefix, "at"),
                       [&](S3Upload& upload, auto /*now*/) -> Status {
                         upload.key.erase(0, client_->options().prefix.size());
                         all.push_back(std::move(upload));
                         return {};
                       }));
  return all;
}

Result<bool> S3Backend::abort_if_stale(const S3Upload& upload, std::chrono::sys_seconds before) {
  if (client_->upload_is_ours(upload.id) || !upload.initiated || *upload.initiated > before) return false;
  const std::string doing = client_->doing("abort a stale upload of", upload.key, "at");
  const auto object = s3_head(*client_, upload.key, doing);
  if (!object.ok() && object.error().code != ErrorCode::kNotFound) return object.error();
  if (object.ok() && (!object->modified || *object->modified >= *upload.initiated)) return false;
  CACS_TRY(s3_abort_upload(*client_, upload.key, upload.id, doing));
  return true;
}

Result<std::size_t> S3Backend::abort_stale_uploads(const std::string& prefix, std::chrono::seconds older_than) {
  CACS_TRY(check_prefix(prefix));
  const std::string doing = client_->doing("list uploads of", prefix, "at");
  std::size_t aborted = 0;
  std::optional<Error> first_failure;
  CACS_TRY(each_upload(*client_, client_->options().prefix + prefix, doing, [&](S3Upload& upload, auto now) -> Status {
    if (!now) return make_error(ErrorCode::kUnsupported, doing + ": the answer has no Date, so that no age is known");
    const auto done = abort_if_stale(upload, *now - older_than);
    if (!done.ok() && !first_failure) first_failure = done.error();
    if (done.ok() && *done) ++aborted;
    return {};
  }));
  if (first_failure) return *first_failure;
  return aborted;
}

}  // namespace cacs::repository
