#include "repository/backend/location.h"

#include <gtest/gtest.h>

#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

Location s3(const std::string& bucket, const std::string& prefix) {
  return {.kind = Location::Kind::kS3, .bucket = bucket, .prefix = prefix};
}

void expect_location(const std::string& text, const Location& expected) {
  SCOPED_TRACE(text);
  const auto location = parse_location(text);
  ASSERT_OK(location);
  EXPECT_TRUE(*location == expected) << format_location(*location);
  const auto again = parse_location(format_location(*location));
  ASSERT_OK(again);
  EXPECT_TRUE(*again == expected) << format_location(*location);
}

TEST(ParseLocation, Directories) {
  expect_location("/srv/cacs", {.path = "/srv/cacs"});
  expect_location("cacs/data", {.path = "cacs/data"});
  expect_location("/srv/a b%20?#", {.path = "/srv/a b%20?#"});
  expect_location("/odd/http://x", {.path = "/odd/http://x"});
  expect_location("file:///srv/cacs", {.path = "/srv/cacs"});
  expect_location("file:///srv/a%20b%25", {.path = "/srv/a b%"});
  expect_location("file:///a://b", {.path = "/a://b"});
}

TEST(ParseLocation, Buckets) {
  expect_location("s3://bucket", s3("bucket", ""));
  expect_location("s3://bucket/", s3("bucket", ""));
  expect_location("s3://my.bucket-1/a/b.c/", s3("my.bucket-1", "a/b.c"));
  Location full = s3("bucket", "prefix");
  full.endpoint = "https://s3.example.org:9000";
  full.region = "eu-central-1";
  full.style = S3Style::kPath;
  expect_location("s3://bucket/prefix?endpoint=https://s3.example.org:9000&region=eu-central-1&style=path", full);
  expect_location("s3://bucket/prefix?region=eu-central-1&endpoint=https%3A%2F%2Fs3.example.org:9000", full);
  full.style = S3Style::kVirtualHost;
  expect_location("s3://bucket/prefix?endpoint=https://s3.example.org:9000&region=eu-central-1&style=virtual", full);
  Location small = s3("bucket", "");
  small.endpoint = "http://[::1]:9000";
  small.style = S3Style::kPath;
  expect_location("s3://bucket?endpoint=http://[::1]:9000", small);
  small.endpoint = "";
  expect_location("s3://bucket?style=path", small);
}

TEST(ParseLocation, SaysWhatIsWrong) {
  const struct {
    std::string text;
    std::string says;
    ErrorCode code = ErrorCode::kInvalidArgument;
  } cases[] = {
      {"", "nothing was given"},
      {std::string(2049, 'a'), "longer than"},
      {std::string("/a\0b", 4), "zero byte"},
      {"/a\nb", "control characters"},
      {"file://host/path", "file:// names a host"},
      {"file:///a?b=c", "no parameters"},
      {"file:///a%zz", "'%' without"},
      {"file:///a%2", "'%' without"},
      {"file:///a%00b", "zero byte"},
      {"file:/a", "scheme without"},
      {"s3:bucket", "scheme without"},
      {"gs://bucket", "no kind of store 'gs'", ErrorCode::kUnsupported},
      {"https://bucket", "no kind of store 'https'", ErrorCode::kUnsupported},
      {"S3://bucket", "no kind of store", ErrorCode::kUnsupported},
      {"s3://", "not the name of a bucket"},
      {"s3://ab", "not the name of a bucket"},
      {"s3://Bucket", "not the name of a bucket"},
      {"s3://bucket-", "not the name of a bucket"},
      {"s3://buc..ket", "not the name of a bucket"},
      {"s3://" + std::string(64, 'a'), "not the name of a bucket"},
      {"s3://key:secret@bucket/prefix", "credentials do not belong"},
      {"s3://bucket/a//b", "not a prefix"},
      {"s3://bucket/../b", "not a prefix"},
      {"s3://bucket/a b", "not a prefix"},
      {"s3://bucket#x", "'#'"},
      {"s3://bucket?", "without a value"},
      {"s3://bucket?region", "without a value"},
      {"s3://bucket?region=", "not the name of a region"},
      {"s3://bucket?region=a&region=b", "given twice"},
      {"s3://bucket?style=odd", "not a style"},
      {"s3://bucket?regoin=x", "unknown parameter"},
      {"s3://bucket?endpoint=example.org", "without http"},
      {"s3://bucket?endpoint=https://", "not an endpoint"},
      {"s3://bucket?endpoint=https://host/path", "not an endpoint"},
      {"s3://bucket?endpoint=https://host:0", "not an endpoint"},
      {"s3://bucket?endpoint=https://host:65536", "not an endpoint"},
      {"s3://bucket?endpoint=https://host:", "not an endpoint"},
      {"s3://bucket?endpoint=https://ho%20st", "not an endpoint"},
      {"s3://bucket?endpoint=https://me:secret@host", "credentials do not belong"},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.text);
    const auto location = parse_location(one.text);
    ASSERT_FALSE(location.ok());
    EXPECT_EQ(location.error().code, one.code);
    EXPECT_NE(location.error().message.find(one.says), std::string::npos) << location.error().message;
    EXPECT_FALSE(location.error().hint.empty());
    EXPECT_EQ(location.error().to_string().find("secret"), std::string::npos) << "a secret is shown";
  }
  const auto misspelt = parse_location("s3://bucket?regoin=x");
  EXPECT_EQ(misspelt.error().hint, "did you mean region=?");
}

}  // namespace
}  // namespace cacs::repository
