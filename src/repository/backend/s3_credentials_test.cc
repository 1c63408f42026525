// Where keys are found. The metadata services are played by a small server of ours: moto has that of EC2 only without
// the token that version 2 wants, and none of containers.
#include "repository/backend/s3_credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/io.h"
#include "repository/backend/s3_test_server.h"

namespace cacs::repository {
namespace {

using std::chrono::sys_days;
using std::chrono::sys_seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace std::chrono_literals;

class Credentials : public ::testing::Test {
 protected:
  [[nodiscard]] AwsEnvironment environment() const {
    return [this](const std::string& name) -> std::optional<std::string> {
      const auto at = variables_.find(name);
      return at == variables_.end() ? std::nullopt : std::optional(at->second);
    };
  }
  std::unique_ptr<CredentialSource> source() {
    return default_credentials(environment(), [this] { return now_.load(); });
  }
  void write_credentials(std::string_view text) {
    const auto path = directory_.path() / "credentials";
    ASSERT_OK(write_file_durably(path, text));
    variables_["AWS_SHARED_CREDENTIALS_FILE"] = path.string();
  }
  void expect_keys(CredentialSource& source, const std::string& access, const std::string& secret,
                   const std::string& token) {
    const auto keys = source.get();
    ASSERT_OK(keys);
    EXPECT_EQ(keys->access_key, access);
    EXPECT_EQ(keys->secret_key, secret);
    EXPECT_EQ(keys->session_token, token);
  }
  TemporaryDirectory directory_;
  std::map<std::string, std::string> variables_{{"AWS_EC2_METADATA_DISABLED", "true"}};
  std::atomic<sys_seconds> now_{sys_days(2026y / 11 / 21) + 12h};
};

TEST_F(Credentials, EnvironmentBeforeProfile) {
  write_credentials("[default]\naws_access_key_id=FILE\naws_secret_access_key=SFILE\naws_session_token=TFILE\n");
  expect_keys(*source(), "FILE", "SFILE", "TFILE");
  variables_["AWS_ACCESS_KEY_ID"] = "ENV";
  variables_["AWS_SECRET_ACCESS_KEY"] = "SENV";
  expect_keys(*source(), "ENV", "SENV", "");
  variables_["AWS_SESSION_TOKEN"] = "TENV";
  expect_keys(*source(), "ENV", "SENV", "TENV");
}

TEST_F(Credentials, HalvesAndNothing) {
  EXPECT_CODE(source()->get(), ErrorCode::kPermission);
  EXPECT_THAT(source()->get().error().hint, HasSubstr("AWS_ACCESS_KEY_ID"));
  variables_["AWS_SECRET_ACCESS_KEY"] = "the-secret";
  const auto half = source()->get();
  EXPECT_CODE(half, ErrorCode::kPermission);
  EXPECT_THAT(half.error().to_string(), Not(HasSubstr("the-secret")));
  variables_.erase("AWS_SECRET_ACCESS_KEY");
  write_credentials("[default]\naws_secret_access_key=the-secret\n");
  EXPECT_CODE(source()->get(), ErrorCode::kPermission);
}

TEST_F(Credentials, AProfileOfAnUnsupportedKindIsNotPassedOver) {
  write_credentials("[default]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = y\n");
  const auto keys = source()->get();
  EXPECT_CODE(keys, ErrorCode::kUnsupported);
  EXPECT_THAT(keys.error().message, HasSubstr("role_arn"));
}

std::string document_of(const std::string& access, const std::string& expires) {
  return R"({"Code":"Success","AccessKeyId":")" + access + R"(","SecretAccessKey":"SK","Token":"TK","Expiration":")" +
         expires + R"("})";
}

/// The metadata service of EC2, version 2.
class Instance : public Credentials {
 protected:
  Instance() {
    variables_.erase("AWS_EC2_METADATA_DISABLED");
    variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = server_.url();
  }
  net::Response answer(const net::Request& request) {
    if (fail_.load() != 0) return net::text_response(fail_, "no");
    if (request.target == "/latest/api/token") {
      if (request.method != "PUT" || request.headers.get("X-aws-ec2-metadata-token-ttl-seconds").empty()) {
        return net::text_response(400, "");
      }
      return net::text_response(200, "the-token");
    }
    if (request.headers.get("X-aws-ec2-metadata-token") != "the-token") return net::text_response(401, "");
    if (request.target == "/latest/meta-data/iam/security-credentials/") {
      return has_role_ ? net::text_response(200, "the-role") : net::text_response(404, "");
    }
    if (request.target != "/latest/meta-data/iam/security-credentials/the-role") return net::text_response(404, "");
    const int number = ++fetched_;
    return net::text_response(200, number % 2 == 1 ? document_of("ROLE1", "2026-11-21T13:00:00Z")
                                                   : document_of("ROLE2", "2026-11-21T14:00:00Z"));
  }
  std::atomic<int> fetched_{0};
  std::atomic<int> fail_{0};  ///< a status that everything is answered with
  std::atomic<bool> has_role_{true};
  TestHttpServer server_{[this](const net::Request& request) { return answer(request); }};
};

TEST_F(Instance, TokenThenRoleThenKeys) {
  const auto keys = source();
  EXPECT_TRUE(server_.asked().empty()) << "nothing is fetched before it is needed";
  expect_keys(*keys, "ROLE1", "SK", "TK");
  expect_keys(*keys, "ROLE1", "SK", "TK");
  EXPECT_THAT(server_.asked(), ElementsAre("PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/",
                                           "GET /latest/meta-data/iam/security-credentials/the-role"));
}

TEST_F(Instance, FetchedAgainBeforeTheyExpire) {
  const auto keys = source();
  expect_keys(*keys, "ROLE1", "SK", "TK");
  now_ = sys_days(2026y / 11 / 21) + 12h + 54min;
  expect_keys(*keys, "ROLE1", "SK", "TK");
  now_ = sys_days(2026y / 11 / 21) + 12h + 55min;
  expect_keys(*keys, "ROLE2", "SK", "TK");
  EXPECT_EQ(fetched_, 2);
}

TEST_F(Instance, OldKeysAreUsedWhileTheyLast) {
  const auto keys = source();
  expect_keys(*keys, "ROLE1", "SK", "TK");
  fail_ = 503;
  now_ = sys_days(2026y / 11 / 21) + 12h + 56min;
  expect_keys(*keys, "ROLE1", "SK", "TK");
  const std::size_t asked = server_.asked().size();
  expect_keys(*keys, "ROLE1", "SK", "TK");
  EXPECT_EQ(server_.asked().size(), asked) << "not again at once";
  now_ = sys_days(2026y / 11 / 21) + 13h;
  EXPECT_CODE(keys->get(), ErrorCode::kUnavailable);
  fail_ = 0;
  expect_keys(*keys, "ROLE2", "SK", "TK");
}

TEST_F(Instance, InvalidatedKeysAreFetchedAgain) {
  const auto keys = source();
  expect_keys(*keys, "ROLE1", "SK", "TK");
  keys->invalidate();
  expect_keys(*keys, "ROLE2", "SK", "TK");
  keys->invalidate();
  fail_ = 500;
  EXPECT_CODE(keys->get(), ErrorCode::kUnavailable);
}

TEST_F(Instance, ManyThreadsFetchOnce) {
  const auto keys = source();
  std::vector<std::jthread> threads;
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { EXPECT_OK(keys->get()); });
  threads.clear();
  EXPECT_EQ(fetched_, 1);
}

TEST_F(Instance, WithoutRoleOrTokenOrService) {
  has_role_ = false;
  EXPECT_CODE(source()->get(), ErrorCode::kPermission);
  fail_ = 403;
  const auto refused = source()->get();
  EXPECT_CODE(refused, ErrorCode::kPermission);
  EXPECT_THAT(refused.error().hint, HasSubstr("IMDSv2"));
  // Named, but nobody there: that is no reason to go on as if there were none.
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1";
  EXPECT_CODE(source()->get(), ErrorCode::kUnavailable);
  variables_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "not a url";
  EXPECT_CODE(source()->get(), ErrorCode::kInvalidArgument);
}

TEST(InstanceAnswers, WhatIsNoCredentialIsRefusedAndNotShown) {
  for (const char* body : {"", "SECRET", R"({"SecretAccessKey":"SECRET"})", R"(["SECRET"])",
                           R"({"AccessKeyId":"AK","SecretAccessKey":"SECRET","Expiration":"soon"})",
                           R"({"Code":"AssumeRoleUnauthorizedAccess","Message":"SECRET"})"}) {
    SCOPED_TRACE(body);
    const TestHttpServer server([&](const net::Request& request) {
      if (request.target.ends_with("/token")) return net::text_response(200, "t");
      return net::text_response(200, request.target.ends_with("/") ? "r" : body);
    });
    const auto source = default_credentials([&](const std::string& name) -> std::optional<std::string> {
      if (name == "AWS_EC2_METADATA_SERVICE_ENDPOINT") return server.url();
      return std::nullopt;
    });
    const auto keys = source->get();
    EXPECT_CODE(keys, ErrorCode::kPermission);
    EXPECT_THAT(keys.error().to_string(), Not(HasSubstr("SECRET")));
  }
}

TEST_F(Credentials, OfAContainer) {
  std::atomic<int> status{200};
  const TestHttpServer server([&](const net::Request& request) {
    if (request.target != "/v2/keys?x=1" || request.headers.get("Authorization") != "the-token") {
      return net::text_response(404, "");
    }
    return net::text_response(status, document_of("CONTAINER", "2026-11-21T13:00:00Z"));
  });
  variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = server.url() + "/v2/keys?x=1";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "the-token";
  expect_keys(*source(), "CONTAINER", "SK", "TK");
  // The file is what EKS renews.
  const auto path = directory_.path() / "token";
  ASSERT_OK(write_file_durably(path, "the-token\n"));
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "old";
  variables_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = path.string();
  expect_keys(*source(), "CONTAINER", "SK", "TK");
  status = 500;
  EXPECT_CODE(source()->get(), ErrorCode::kUnavailable);
  status = 403;
  EXPECT_CODE(source()->get(), ErrorCode::kPermission);
}

TEST_F(Credentials, AContainersTokenIsNotSentAnywhere) {
  for (const char* url :
       {"http://example.com/keys", "http://10.0.0.1/", "ftp://localhost/", "localhost", "http://127.evil.example/",
        "http://127.0.0.1.evil.example/", "http://127.0.0.1@evil.example/"}) {
    SCOPED_TRACE(url);
    variables_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    EXPECT_CODE(source()->get(), ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace cacs::repository
