#include "s3_server.h"

#include "repository/backend/s3_client.h"

namespace cacs::testing {

using repository::S3Options;

S3Server::S3Server(std::unique_ptr<TestServer> server) : server_(std::move(server)) {}

Result<std::unique_ptr<S3Server>> S3Server::start(const std::string& kind) {
  CACS_ASSIGN(auto started, TestServer::start(kind));
  std::unique_ptr<S3Server> server(new S3Server(std::move(started)));
  const JsonObject& ready = server->server_->ready();
  CACS_ASSIGN(server->endpoint_, json_string(ready, "endpoint"));
  CACS_ASSIGN(server->region_, json_string(ready, "region"));
  CACS_ASSIGN(server->keys_.access_key, json_string(ready, "access_key"));
  CACS_ASSIGN(server->keys_.secret_key, json_string(ready, "secret_key"));
  return server;
}

S3Options S3Server::options(const std::string& bucket, const std::string& prefix) const {
  S3Options options;
  options.bucket = bucket;
  options.prefix = prefix;
  options.endpoint = endpoint_;
  options.region = region_;
  return options;
}

std::shared_ptr<repository::CredentialSource> S3Server::credentials() const {
  return repository::fixed_credentials(keys_);
}

Status S3Server::make_bucket(const std::string& bucket) const {
  CACS_ASSIGN(const auto client, repository::S3Client::make(options(bucket), credentials()));
  CACS_TRY(client->call({.method = "PUT"}, "make a bucket"));
  return {};
}

}  // namespace cacs::testing
