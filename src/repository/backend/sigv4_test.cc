// Against the signatures that AWS publishes: the examples of the S3 API reference ("Signature Calculations for the
// Authorization Header") and of the SigV4 test suite.
#include "repository/backend/sigv4.h"

#include <gtest/gtest.h>

#include "base/hash.h"

namespace cacs::repository {
namespace {

using std::chrono::sys_days;
using std::chrono::sys_seconds;
using namespace std::chrono_literals;

const std::string kEmpty = sha256(std::string_view()).to_hex();

std::string signature(const std::string& authorization) {
  const std::size_t at = authorization.find("Signature=");
  return at == std::string::npos ? authorization : authorization.substr(at + 10);
}

class S3Examples : public ::testing::Test {
 protected:
  std::string sign(SigV4Request request) {
    request.headers.emplace_back("Host", "examplebucket.s3.amazonaws.com");
    request.headers.emplace_back("X-Amz-Date", amz_date(time_));
    request.headers.emplace_back("x-amz-content-sha256", std::string(request.payload_sha256));
    return sigv4_authorization(request, keys_, "us-east-1", "s3", time_);
  }
  const sys_seconds time_ = sys_days(2013y / 5 / 24);
  const AwsKeys keys_{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", {}};
};

TEST_F(S3Examples, GetObjectWithRange) {
  EXPECT_EQ(sign({"GET", "/test.txt", {}, {{"Range", "bytes=0-9"}}, kEmpty}),
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
            "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
            "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST_F(S3Examples, PutObject) {
  const std::string payload = sha256(std::string_view("Welcome to Amazon S3.")).to_hex();
  const std::string path = uri_encode("/test$file.text", Slash::kKeep);
  EXPECT_EQ(signature(sign({"PUT",
                            path,
                            {},
                            {{"x-amz-storage-class", "REDUCED_REDUNDANCY"}, {"Date", "Fri, 24 May 2013 00:00:00 GMT"}},
                            payload})),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST_F(S3Examples, QueryWithoutValue) {
  EXPECT_EQ(signature(sign({"GET", "/", {{"lifecycle", ""}}, {}, kEmpty})),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST_F(S3Examples, QueryIsSorted) {
  EXPECT_EQ(signature(sign({"GET", "/", {{"prefix", "J"}, {"max-keys", "2"}}, {}, kEmpty})),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

class SigV4Suite : public ::testing::Test {
 protected:
  std::string sign(SigV4Request request) {
    request.headers.emplace_back("Host", "example.amazonaws.com");
    request.headers.emplace_back("X-Amz-Date", "20150830T123600Z");
    request.payload_sha256 = kEmpty;
    return signature(sigv4_authorization(request, keys_, "us-east-1", "service", time_));
  }
  const sys_seconds time_ = sys_days(2015y / 8 / 30) + 12h + 36min;
  const AwsKeys keys_{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", {}};
};

TEST_F(SigV4Suite, Vanilla) {
  EXPECT_EQ(sign({"GET", "/", {}, {}, {}}), "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  EXPECT_EQ(sign({"POST", "/", {}, {}, {}}), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

TEST_F(SigV4Suite, QueryOrderKeyCase) {
  EXPECT_EQ(sign({"GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}}, {}, {}}),
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

TEST_F(SigV4Suite, Utf8InThePath) {
  const std::string path = uri_encode("/\u1234", Slash::kKeep);
  EXPECT_EQ(path, "/%E1%88%B4");
  EXPECT_EQ(sign({"GET", path, {}, {}, {}}), "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
}

TEST_F(SigV4Suite, HeaderValueTrim) {
  EXPECT_EQ(sign({"GET", "/", {}, {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}}, {}}),
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
}

TEST(SigV4, Encoding) {
  EXPECT_EQ(uri_encode("a b/+=&~", Slash::kEncode), "a%20b%2F%2B%3D%26~");
  EXPECT_EQ(uri_encode("a b/c", Slash::kKeep), "a%20b/c");
  EXPECT_EQ(uri_encode(std::string_view("\0\xff", 2), Slash::kKeep), "%00%FF");
  // Sorted by the encoded names: "a-" comes before "a1", "%" before both.
  EXPECT_EQ(canonical_query({{"a1", "x"}, {"a-", "y"}, {"\xc3\xa4", ""}}), "%C3%A4=&a-=y&a1=x");
}

TEST(SigV4, Dates) {
  EXPECT_EQ(amz_date(sys_days(2026y / 11 / 21) + 9h + 5min + 1s), "20261121T090501Z");
  EXPECT_EQ(amz_date(sys_days(1999y / 12 / 31) + 23h + 59min + 59s), "19991231T235959Z");
}

}  // namespace
}  // namespace cacs::repository
