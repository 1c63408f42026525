#include "api/auth.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

namespace cacs::api {
namespace {

class TokenFile : public ::testing::Test {
 protected:
  void SetUp() override { dir_ = ::testing::TempDir() + "cacs-auth-" + std::to_string(::getpid()); }
  void TearDown() override { EXPECT_TRUE(remove_tree(dir_).ok()); }
  std::filesystem::path dir_;
};

TEST_F(TokenFile, IsMadeOnceWithMode0600) {
  const auto file = dir_ / "token";
  const auto made = load_or_make_token(file);
  ASSERT_TRUE(made.ok()) << made.error().to_string();
  EXPECT_EQ(made->size(), 64U);
  struct stat status {};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
  EXPECT_EQ(load_or_make_token(file).value(), *made);
  EXPECT_NE(load_or_make_token(dir_ / "other").value(), *made);
}

TEST_F(TokenFile, OneThatOthersReadOrThatIsShortIsRefused) {
  const auto file = dir_ / "token";
  ASSERT_TRUE(load_or_make_token(file).ok());
  ASSERT_EQ(::chmod(file.c_str(), 0640), 0);
  const auto open = load_or_make_token(file);
  ASSERT_FALSE(open.ok());
  EXPECT_EQ(open.error().code, ErrorCode::kPermission);
  ASSERT_TRUE(write_file_durably(file, "short\n", 0600).ok());
  EXPECT_EQ(load_or_make_token(file).error().code, ErrorCode::kInvalidArgument);
}

net::Request request_with(std::vector<std::pair<std::string, std::string>> headers) {
  net::Request request;
  for (auto& [name, value] : headers) request.headers.add(std::move(name), std::move(value));
  return request;
}

int status_of(const std::optional<net::Response>& refused) { return refused ? refused->status : 200; }

TEST(Authenticator, WantsItsToken) {
  const std::string token(64, 'a');
  const Authenticator auth({.token = token});
  EXPECT_EQ(status_of(auth.check(request_with({{"Authorization", "Bearer " + token}}), false)), 200);
  EXPECT_EQ(status_of(auth.check(request_with({{"authorization", "bearer " + token}}), false)), 200);
  EXPECT_EQ(status_of(auth.check(request_with({}), true)), 200);
  for (const std::string& wrong :
       std::vector<std::string>{"", "Bearer", "Bearer " + token + "a", "Bearer " + token.substr(1), "Basic " + token}) {
    const auto refused = auth.check(request_with({{"Authorization", wrong}}), false);
    EXPECT_EQ(status_of(refused), 401) << wrong;
    EXPECT_NE(refused->headers.find("WWW-Authenticate"), nullptr);
    EXPECT_EQ(refused->body.find(token), std::string::npos);
  }
}

TEST(Authenticator, AnEmptyTokenLetsNobodyIn) {
  const Authenticator auth({.token = ""});
  EXPECT_EQ(status_of(auth.check(request_with({{"Authorization", "Bearer "}}), false)), 401);
}

TEST(Authenticator, PagesOfOtherSitesAndStrangeHostsAreRefused) {
  const Authenticator auth({.no_auth = true, .check_host = true, .allowed_hosts = {"cacs.example"}});
  EXPECT_EQ(status_of(auth.check(request_with({{"Host", "localhost:1"}}), false)), 200);
  EXPECT_EQ(status_of(auth.check(request_with({{"Host", "127.0.0.1:1"}, {"Origin", "http://127.0.0.1:1"}}), false)),
            200);
  EXPECT_EQ(status_of(auth.check(request_with({{"Host", "[::1]:1"}}), false)), 200);
  EXPECT_EQ(status_of(auth.check(request_with({{"Host", "CACS.example"}}), false)), 200);
  EXPECT_EQ(status_of(auth.check(request_with({{"Host", "evil.example:1"}}), false)), 421);
  EXPECT_EQ(status_of(auth.check(request_with({{"Host", "127.0.0.1.evil.example"}}), false)), 421);
  EXPECT_EQ(status_of(auth.check(request_with({{"Host", "localhost:1"}, {"Origin", "http://evil.example"}}), false)),
            403);
  EXPECT_EQ(status_of(auth.check(request_with({{"Host", "localhost:1"}, {"Origin", "null"}}), true)), 403);
}

TEST(Authenticator, OwnUserOnAUnixSocketNeedsNoToken) {
  const Authenticator auth({.token = std::string(64, 'a')});
  net::Request request = request_with({});
  request.peer.uid = ::geteuid();
  EXPECT_EQ(status_of(auth.check(request, false)), 200);
  request.peer.uid = ::geteuid() + 12345;
  EXPECT_EQ(status_of(auth.check(request, false)), 401);
}

}  // namespace
}  // namespace cacs::api
