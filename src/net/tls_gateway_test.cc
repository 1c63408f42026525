#include "net/tls_gateway.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <thread>

#include "base/fd.h"
#include "base/io.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace cacs::net {
namespace {

using namespace std::chrono_literals;

/// An HTTP server on a unix socket behind a gateway, and who may ask it.
class TlsGatewayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "cacs-gate-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
    auto authority = make_authority("CACS of a test");
    ASSERT_TRUE(authority.ok());
    authority_ = *std::move(authority);
    ASSERT_TRUE(write_tls_files(directory_ / "node", authority_, "local-0").ok());
    serve();
    open_for("cacs-server");
  }
  void open_for(const std::string& peer) {
    TlsGatewayOptions options;
    options.tls = tls_files(directory_ / "node");
    options.peer = peer;
    options.unix_socket = directory_ / "server.sock";
    options.connections = 20;
    options.handshake_timeout = 500ms;
    auto gateway = TlsGateway::start(options);
    ASSERT_TRUE(gateway.ok()) << gateway.error().to_string();
    gateway_ = *std::move(gateway);
  }
  void TearDown() override {
    gateway_.reset();
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  void serve() {
    ServerOptions options;
    options.unix_socket = directory_ / "server.sock";
    const auto echo = [](const Request& request) { return text_response(200, request.body); };
    const auto trickle = [](const Request&, ResponseStream& stream) {
      if (!stream.start(Response{}).ok()) return;
      for (int i = 0; i < 100 && stream.write(std::string(10'000, 'x')).ok(); ++i) continue;
    };
    auto server = HttpServer::start(
        std::move(options), {{.method = "POST", .pattern = "/echo", .kind = RouteKind::kBlocking, .handler = echo},
                             {.method = "GET", .pattern = "/trickle", .stream = trickle}});
    ASSERT_TRUE(server.ok()) << server.error().to_string();
    server_ = *std::move(server);
  }

  /// A client that calls the other side `asks_for` and itself `is`, with a certificate of `authority`.
  HttpClient client(const std::string& is, const std::string& asks_for, const Certificate& authority) {
    const auto files = tls_files(directory_ / ("as-" + is));
    EXPECT_TRUE(write_tls_files(directory_ / ("as-" + is), authority, is).ok());
    EXPECT_TRUE(write_file_durably(files.authority, authority_.certificate).ok());
    return HttpClient({.base_url = "https://" + asks_for,
                       .ca_file = files.authority.string(),
                       .certificate_file = files.certificate.string(),
                       .key_file = files.key.string(),
                       .connect_to = "127.0.0.1:" + std::to_string(gateway_->port()),
                       .proxy = ProxyUse::kNone});
  }
  HttpClient server() { return client("cacs-server", "local-0", authority_); }

  /// A bare connection, with a time limit for what it reads.
  [[nodiscard]] UniqueFd connect() const {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(gateway_->port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval limit{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    return fd;
  }

  std::filesystem::path directory_;
  Certificate authority_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<TlsGateway> gateway_;
};

TEST_F(TlsGatewayTest, CarriesWhatBothSaySmallAndLarge) {
  HttpClient http = server();
  for (const std::size_t size : {std::size_t{1}, std::size_t{100'000}, std::size_t{8} << 20U}) {
    const std::string body(size, 'b');
    const auto answer = http.send({.method = "POST", .target = "/echo", .body = body});
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    EXPECT_EQ(answer->status, 200);
    EXPECT_TRUE(answer->body == body) << size;
  }
  std::size_t got = 0;
  const auto streamed = http.stream({.target = "/trickle"}, [&](std::string_view data) {
    got += data.size();
    return true;
  });
  ASSERT_TRUE(streamed.ok()) << streamed.error().to_string();
  EXPECT_EQ(got, 1'000'000U);
}

TEST_F(TlsGatewayTest, ManyAtOnce) {
  HttpClient http = server();
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&http, thread] {
      for (int round = 0; round < 20; ++round) {
        const std::string body = std::to_string(thread) + "." + std::to_string(round);
        const auto answer = http.send({.method = "POST", .target = "/echo", .body = body});
        ASSERT_TRUE(answer.ok()) << answer.error().to_string();
        EXPECT_EQ(answer->body, body);
      }
    });
  }
}

TEST_F(TlsGatewayTest, AnotherNodeIsNotTheServer) {
  const auto refused = client("local-1", "local-0", authority_).send({.method = "POST", .target = "/echo"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable) << refused.error().to_string();
}

TEST_F(TlsGatewayTest, ACertificateOfAnotherAuthorityIsWorthNothing) {
  const auto other = make_authority("CACS of a test");
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE(client("cacs-server", "local-0", *other).send({.method = "POST", .target = "/echo"}).ok());
}

TEST_F(TlsGatewayTest, WhereNobodyIsNamedAnyoneOfTheAuthorityIsServedAndNobodyElse) {
  gateway_.reset();
  open_for("");
  for (const auto* name : {"local-1", "cacs-server"}) {
    const auto answer = client(name, "local-0", authority_).send({.method = "POST", .target = "/echo", .body = name});
    ASSERT_TRUE(answer.ok()) << answer.error().to_string();
    EXPECT_EQ(answer->body, name);
  }
  const auto other = make_authority("CACS of a test");
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE(client("local-1", "local-0", *other).send({.method = "POST", .target = "/echo"}).ok());
}

TEST_F(TlsGatewayTest, WithoutACertificateNothingIsHeard) {
  HttpClient http({.base_url = "https://local-0",
                   .ca_file = tls_files(directory_ / "node").authority.string(),
                   .connect_to = "127.0.0.1:" + std::to_string(gateway_->port()),
                   .proxy = ProxyUse::kNone});
  EXPECT_FALSE(http.send({.method = "POST", .target = "/echo"}).ok());
}

TEST_F(TlsGatewayTest, TheServerAsksForOneNodeAndNoOther) {
  const auto refused = client("cacs-server", "local-1", authority_).send({.method = "POST", .target = "/echo"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kPermission) << refused.error().to_string();
}

TEST_F(TlsGatewayTest, WhoSaysNothingOrNonsenseIsClosedAndTheOthersAreServed) {
  const UniqueFd silent = connect();
  const UniqueFd nonsense = connect();
  ASSERT_TRUE(write_full(nonsense.get(), std::string_view("GET / HTTP/1.1\r\nHost: a\r\n\r\n")).ok());
  EXPECT_TRUE(server().send({.method = "POST", .target = "/echo"}).ok());
  for (const UniqueFd* fd : {&silent, &nonsense}) {
    std::array<char, 256> answer{};
    ssize_t n = 1;
    // An alert, perhaps, and then the end.
    while (n > 0) n = ::read(fd->get(), answer.data(), answer.size());
    EXPECT_TRUE(n == 0 || errno == ECONNRESET) << errno;
  }
}

TEST_F(TlsGatewayTest, ConnectionsAreBounded) {
  std::vector<UniqueFd> many;
  for (int i = 0; i < 40; ++i) many.push_back(connect());
  std::array<char, 1> byte{};
  EXPECT_LE(::read(many.back().get(), byte.data(), byte.size()), 0) << "beyond the bound: closed at once";
  many.clear();
  // The gateway notices when it gets round to it.
  const auto end = std::chrono::steady_clock::now() + 20s;
  bool served = false;
  while (!served && std::chrono::steady_clock::now() < end) {
    served = server().send({.method = "POST", .target = "/echo"}).ok();
  }
  EXPECT_TRUE(served);
}

TEST_F(TlsGatewayTest, AServerThatIsGoneIsUnavailableAndOneThatCameBackIsServed) {
  HttpClient http = server();
  server_.reset();
  const auto gone = http.send({.method = "POST", .target = "/echo"});
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code, ErrorCode::kUnavailable) << gone.error().to_string();
  serve();
  EXPECT_TRUE(http.send({.method = "POST", .target = "/echo"}).ok());
}

TEST_F(TlsGatewayTest, StopEndsWhatIsUnderWay) {
  const UniqueFd silent = connect();
  gateway_->stop();
  gateway_->stop();
  std::array<char, 1> byte{};
  EXPECT_LE(::read(silent.get(), byte.data(), byte.size()), 0);
}

TEST_F(TlsGatewayTest, FilesThatAreNotThereAreNamed) {
  TlsGatewayOptions options;
  options.tls = tls_files(directory_ / "nowhere");
  const auto refused = TlsGateway::start(options);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().to_string(), ::testing::HasSubstr("nowhere/authority.pem"));
}

}  // namespace
}  // namespace cacs::net
