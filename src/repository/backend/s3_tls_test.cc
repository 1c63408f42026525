// Certificates are verified: by an authority of the machine or the one that was named, and against the host's name.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/process.h"
#include "repository/backend/s3_backend.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

using ::testing::HasSubstr;

/// `openssl s_server` on loopback with a certificate of its own. It answers every GET with a page of its own.
class TlsServer {
 public:
  explicit TlsServer(const std::string& subject_name) : certificate_((directory_.path() / "cert.pem").string()) {
    const std::string key = (directory_.path() / "key.pem").string();
    const auto made =
        run_command({.argv = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                              "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=" + subject_name,
                              "-keyout", key, "-out", certificate_}});
    EXPECT_OK(made);
    int pipe[2] = {-1, -1};
    EXPECT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
    const UniqueFd out(pipe[0]);
    UniqueFd in(pipe[1]);
    auto child =
        spawn({.argv = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-www", "-cert", certificate_, "-key", key},
               .fds = {{in.get(), 1}}});
    EXPECT_OK(child);
    if (!child.ok()) return;
    child_.emplace(std::move(child).value());
    in.reset();
    port_ = read_port(out.get());
  }
  [[nodiscard]] std::string url() const { return "https://127.0.0.1:" + port_; }
  [[nodiscard]] const std::string& certificate() const { return certificate_; }

 private:
  /// It says "ACCEPT 127.0.0.1:PORT" once it listens.
  static std::string read_port(int fd) {
    std::string text;
    char byte = 0;
    while (!(text.find("ACCEPT ") != std::string::npos && text.ends_with('\n')) && ::read(fd, &byte, 1) == 1)
      text += byte;
    EXPECT_THAT(text, HasSubstr("ACCEPT "));
    const std::size_t colon = text.rfind(':');
    return colon == std::string::npos ? "1" : text.substr(colon + 1, text.find_last_not_of("\r\n") - colon);
  }

  TemporaryDirectory directory_;
  std::string certificate_;
  std::string port_ = "1";
  std::optional<Child> child_;
};

Result<std::unique_ptr<S3Backend>> open(const TlsServer& server, const std::string& ca_file) {
  S3Options options;
  options.bucket = "bkt";
  options.endpoint = server.url();
  options.ca_file = ca_file;
  return S3Backend::open(options, fixed_credentials({"AK", "SK", ""}));
}

TEST(S3Tls, AnUnknownAuthorityIsRefused) {
  const TlsServer server("IP:127.0.0.1");
  const auto backend = open(server, "");
  EXPECT_CODE(backend, ErrorCode::kPermission);
  EXPECT_THAT(backend.error().hint, HasSubstr("CA file"));
}

TEST(S3Tls, TheNamedAuthorityIsTrusted) {
  const TlsServer server("IP:127.0.0.1");
  const auto backend = open(server, server.certificate());
  // Past TLS: what answers there is no S3.
  EXPECT_CODE(backend, ErrorCode::kInvalidArgument);
  EXPECT_THAT(backend.error().hint, HasSubstr("endpoint"));
}

TEST(S3Tls, TheNameIsVerifiedToo) {
  const TlsServer server("DNS:somebody.example");
  EXPECT_CODE(open(server, server.certificate()), ErrorCode::kPermission);
}

TEST(S3Tls, AnAuthorityThatIsNoneIsNamed) {
  const TlsServer server("IP:127.0.0.1");
  EXPECT_CODE(open(server, "/nonexistent.pem"), ErrorCode::kPermission);
}

}  // namespace
}  // namespace cacs::repository
