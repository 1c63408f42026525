#include "net/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>

#include "base/io.h"

namespace cacs::net {
namespace {

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using X509Ptr = std::unique_ptr<X509, FreeX509>;

X509Ptr read(const std::string& pem) {
  BIO* bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  X509Ptr certificate(PEM_read_bio_X509(bio, nullptr, nullptr, nullptr));
  BIO_free(bio);
  return certificate;
}

/// What OpenSSL says of a certificate that comes from the other side of a connection.
int verify(const std::string& trusted, const std::string& shown, int purpose) {
  X509_STORE* store = X509_STORE_new();
  const X509Ptr root = read(trusted);
  X509_STORE_add_cert(store, root.get());
  const X509Ptr leaf = read(shown);
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, leaf.get(), nullptr);
  X509_STORE_CTX_set_purpose(context, purpose);
  const int code = X509_verify_cert(context) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return code;
}

TEST(Certificates, AreTrustedThroughTheirAuthorityAndNoOther) {
  const auto authority = make_authority("CACS of a test");
  const auto other = make_authority("CACS of a test");
  ASSERT_TRUE(authority.ok() && other.ok());
  const auto node = issue_certificate(*authority, "local-0");
  ASSERT_TRUE(node.ok()) << node.error().to_string();
  for (const int purpose : {X509_PURPOSE_SSL_CLIENT, X509_PURPOSE_SSL_SERVER}) {
    EXPECT_EQ(verify(authority->certificate, node->certificate, purpose), X509_V_OK);
    EXPECT_NE(verify(other->certificate, node->certificate, purpose), X509_V_OK) << "same name, another key";
  }
}

TEST(Certificates, CannotIssueOthersThemselves) {
  const auto authority = make_authority("CACS of a test");
  const auto node = issue_certificate(*authority, "local-0");
  const auto forged = issue_certificate(*node, "cacs-server");
  ASSERT_TRUE(forged.ok()) << "the arithmetic can be done";
  EXPECT_NE(verify(authority->certificate, forged->certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  EXPECT_NE(verify(node->certificate, forged->certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
}

TEST(Certificates, AreForOneName) {
  const auto authority = make_authority("CACS of a test");
  const auto node = issue_certificate(*authority, "local-0");
  const X509Ptr certificate = read(node->certificate);
  EXPECT_EQ(X509_check_host(certificate.get(), "local-0", 0, 0, nullptr), 1);
  EXPECT_EQ(X509_check_host(certificate.get(), "local-1", 0, 0, nullptr), 0);
  EXPECT_EQ(X509_check_host(certificate.get(), "cacs-server", 0, 0, nullptr), 0);
}

TEST(Certificates, NamesThatWouldSaySomethingElseAreRefused) {
  const auto authority = make_authority("CACS of a test");
  for (const auto* name : {"", "a,DNS:cacs-server", "*", "Local", "a b", "local.0"}) {
    const auto refused = issue_certificate(*authority, name);
    ASSERT_FALSE(refused.ok()) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument) << name;
  }
  EXPECT_FALSE(issue_certificate(*authority, std::string(64, 'a')).ok());
  EXPECT_TRUE(issue_certificate(*authority, std::string(63, 'a')).ok());
}

class CertificateFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "cacs-tls-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::filesystem::path directory_;
};

TEST_F(CertificateFiles, AnAuthorityIsMadeOnceAndFoundAgain) {
  const auto first = open_authority(directory_ / "tls", "CACS of a test");
  ASSERT_TRUE(first.ok()) << first.error().to_string();
  const auto second = open_authority(directory_ / "tls", "CACS of a test");
  ASSERT_TRUE(second.ok()) << second.error().to_string();
  EXPECT_EQ(first->certificate, second->certificate);
  EXPECT_EQ(first->key, second->key);
}

TEST_F(CertificateFiles, AnAuthorityOfWhichOnlyTheKeyWasWrittenIsMadeAnew) {
  ASSERT_TRUE(open_authority(directory_, "CACS of a test").ok());
  std::filesystem::remove(directory_ / "authority.pem");
  const auto again = open_authority(directory_, "CACS of a test");
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  const auto node = issue_certificate(*again, "local-0");
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(verify(again->certificate, node->certificate, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
}

TEST_F(CertificateFiles, OneWithoutItsKeyIsToldNotReplaced) {
  ASSERT_TRUE(open_authority(directory_, "CACS of a test").ok());
  std::filesystem::remove(directory_ / "authority.key");
  const auto lost = open_authority(directory_, "CACS of a test");
  ASSERT_FALSE(lost.ok());
  EXPECT_THAT(lost.error().to_string(), ::testing::HasSubstr("authority.key"));
}

TEST_F(CertificateFiles, WhatIsInterruptedDoesNotNameTheNewAuthority) {
  const auto old = make_authority("CACS of a test");
  const auto authority = make_authority("CACS of a test");
  const auto files = tls_files(directory_);
  ASSERT_TRUE(write_tls_files(directory_, *old, "local-0").ok());
  // A directory in its place: the certificate cannot be written, as if the writer had died before it.
  std::filesystem::remove(files.certificate);
  std::filesystem::create_directories(files.certificate / "in the way");
  ASSERT_FALSE(write_tls_files(directory_, *authority, "local-0").ok());
  EXPECT_EQ(read_text_file(files.authority).value(), old->certificate);
}

TEST_F(CertificateFiles, KeysAreForThisUserAlone) {
  const auto authority = open_authority(directory_, "CACS of a test");
  ASSERT_TRUE(write_tls_files(directory_ / "node", *authority, "local-0").ok());
  for (const auto& path : {directory_ / "authority.key", tls_files(directory_ / "node").key}) {
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_mode & 0777U, 0600U) << path;
  }
}

}  // namespace
}  // namespace cacs::net
