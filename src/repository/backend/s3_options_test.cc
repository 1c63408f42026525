#include "repository/backend/s3_options.h"

#include <gtest/gtest.h>

#include "base/io.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

S3Options options(std::string bucket, std::string endpoint, std::string region = "") {
  S3Options result;
  result.bucket = std::move(bucket);
  result.endpoint = std::move(endpoint);
  result.region = std::move(region);
  return result;
}

void expect_place(const S3Options& options, const std::string& base, const std::string& host, const std::string& path) {
  const auto place = locate(options);
  ASSERT_OK(place);
  EXPECT_EQ(place->base_url, base);
  EXPECT_EQ(place->host, host);
  EXPECT_EQ(place->path, path);
}

TEST(S3Options, AwsByDefaultAsVirtualHost) {
  expect_place(options("bkt", ""), "https://bkt.s3.us-east-1.amazonaws.com", "bkt.s3.us-east-1.amazonaws.com", "/");
  expect_place(options("bkt", "", "eu-west-1"), "https://bkt.s3.eu-west-1.amazonaws.com",
               "bkt.s3.eu-west-1.amazonaws.com", "/");
  // The certificate of *.s3.REGION.amazonaws.com does not match, the host's name cannot hold it.
  expect_place(options("my.bkt", ""), "https://s3.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com", "/my.bkt/");
  expect_place(options("Old_Bkt", ""), "https://s3.us-east-1.amazonaws.com", "s3.us-east-1.amazonaws.com", "/Old_Bkt/");
}

TEST(S3Options, OthersInThePath) {
  expect_place(options("bkt", "http://127.0.0.1:9000"), "http://127.0.0.1:9000", "127.0.0.1:9000", "/bkt/");
  expect_place(options("bkt", "https://S3.Example.org:443/"), "https://s3.example.org", "s3.example.org", "/bkt/");
  expect_place(options("bkt", "http://h:80"), "http://h", "h", "/bkt/");
  expect_place(options("bkt", "https://h:80"), "https://h:80", "h:80", "/bkt/");
  expect_place(options("bkt", "http://[::1]:9000"), "http://[::1]:9000", "[::1]:9000", "/bkt/");
  auto virtual_host = options("bkt", "https://h:9000");
  virtual_host.addressing = S3Addressing::kVirtualHost;
  expect_place(virtual_host, "https://bkt.h:9000", "bkt.h:9000", "/");
}

TEST(S3Options, WhatIsWrong) {
  for (const char* endpoint :
       {"h", "ftp://h", "http://", "http://h/path", "http://h:0", "http://h:65536", "http://h:x",
        "http://h:", "http://user@h", "http://h h", "http://[::1", "http://[::1]x", "http://h?q"}) {
    SCOPED_TRACE(endpoint);
    EXPECT_CODE(locate(options("bkt", endpoint)), ErrorCode::kInvalidArgument);
  }
  for (const char* bucket : {"", "ab", "a/b", "a b", "..", "a..b", ".abc", "abc.", "b\xc3\xa4r"}) {
    SCOPED_TRACE(bucket);
    EXPECT_CODE(locate(options(bucket, "http://h")), ErrorCode::kInvalidArgument);
  }
  EXPECT_CODE(locate(options("bkt", "http://h", "eu west")), ErrorCode::kInvalidArgument);
  auto wrong = options("bkt", "http://h");
  wrong.prefix = "no-slash";
  EXPECT_CODE(locate(wrong), ErrorCode::kInvalidArgument);
  wrong.prefix = "a/../";
  EXPECT_CODE(locate(wrong), ErrorCode::kInvalidArgument);
  wrong.prefix = "a/b/";
  EXPECT_OK(locate(wrong));
  wrong.part_bytes = 1000;
  EXPECT_CODE(locate(wrong), ErrorCode::kInvalidArgument);
  auto dotted = options("my.bkt", "https://h");
  dotted.addressing = S3Addressing::kVirtualHost;
  EXPECT_CODE(locate(dotted), ErrorCode::kInvalidArgument);
}

TEST(S3Options, CompletedFromTheEnvironmentThenTheProfile) {
  TemporaryDirectory directory;
  const std::string config = (directory.path() / "config").string();
  ASSERT_OK(write_file_durably(config,
                               "[default]\nregion = r-file\nendpoint_url = http://file\nca_bundle = /file.pem\n"
                               "s3 =\n  addressing_style = virtual\n"));
  std::map<std::string, std::string> variables{{"AWS_CONFIG_FILE", config}};
  const AwsEnvironment environment = [&](const std::string& name) -> std::optional<std::string> {
    const auto at = variables.find(name);
    return at == variables.end() ? std::nullopt : std::optional(at->second);
  };
  S3Options of_file;
  ASSERT_OK(complete_s3_options(of_file, environment));
  EXPECT_EQ(of_file.region, "r-file");
  EXPECT_EQ(of_file.endpoint, "http://file");
  EXPECT_EQ(of_file.ca_file, "/file.pem");
  EXPECT_EQ(of_file.addressing, S3Addressing::kVirtualHost);
  variables["AWS_DEFAULT_REGION"] = "r-default";
  variables["AWS_ENDPOINT_URL"] = "http://any";
  variables["AWS_CA_BUNDLE"] = "/env.pem";
  S3Options of_variables;
  ASSERT_OK(complete_s3_options(of_variables, environment));
  EXPECT_EQ(of_variables.region, "r-default");
  EXPECT_EQ(of_variables.endpoint, "http://any");
  EXPECT_EQ(of_variables.ca_file, "/env.pem");
  variables["AWS_REGION"] = "r-env";
  variables["AWS_ENDPOINT_URL_S3"] = "http://s3";
  S3Options nearer;
  nearer.ca_file = "/own.pem";
  nearer.addressing = S3Addressing::kPath;
  ASSERT_OK(complete_s3_options(nearer, environment));
  EXPECT_EQ(nearer.region, "r-env");
  EXPECT_EQ(nearer.endpoint, "http://s3");
  EXPECT_EQ(nearer.ca_file, "/own.pem");
  EXPECT_EQ(nearer.addressing, S3Addressing::kPath);
}

TEST(S3Options, OfALocation) {
  const auto place_of = [](const char* text, const char* prefix) {
    const auto location = parse_location(text);
    EXPECT_OK(location);
    const S3Options made = s3_options(*location);
    EXPECT_EQ(made.prefix, prefix);
    const auto place = locate(made);
    EXPECT_OK(place);
    return place->base_url + place->path;
  };
  EXPECT_EQ(place_of("s3://bkt", ""), "https://bkt.s3.us-east-1.amazonaws.com/");
  EXPECT_EQ(place_of("s3://bkt/a/b?region=eu-west-1", "a/b/"), "https://bkt.s3.eu-west-1.amazonaws.com/");
  EXPECT_EQ(place_of("s3://my.bkt", ""), "https://s3.us-east-1.amazonaws.com/my.bkt/");
  EXPECT_EQ(place_of("s3://bkt/a?endpoint=http://127.0.0.1:9000", "a/"), "http://127.0.0.1:9000/bkt/");
  EXPECT_EQ(place_of("s3://bkt?endpoint=https://h:9000&style=virtual", ""), "https://bkt.h:9000/");
}

}  // namespace
}  // namespace cacs::repository
