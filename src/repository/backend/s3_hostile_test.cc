// What a store may say that no real one can be made to say when a test wants it: answers that are wrong, late, short,
// or a failure that looks like success. The conformance tests run against real stores (tests/integration/s3_test.cc).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "repository/backend/s3_test_server.h"

namespace cacs::repository {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::size_t kMiB = std::size_t{1} << 20U;

net::Response xml(int status, std::string body) {
  net::Response response{.status = status, .body = std::move(body)};
  response.headers.add("Content-Type", "application/xml");
  return response;
}

net::Response with_header(net::Response response, std::string name, std::string value) {
  response.headers.add(std::move(name), std::move(value));
  return response;
}

net::Response error_document(int status, const std::string& code) {
  return xml(status, "<Error><Code>" + code + "</Code><Message>because</Message></Error>");
}

bool has_query(const net::Request& request, std::string_view name) {
  return request.target.find(name) != std::string::npos;
}

/// Keys that change with every invalidation.
class CountedCredentials final : public CredentialSource {
 public:
  Result<AwsKeys> get() override { return AwsKeys{"AK" + std::to_string(invalidated), "SECRET", "TOKEN"}; }
  void invalidate() override { ++invalidated; }
  std::atomic<int> invalidated{0};
};

class HostileStore : public ::testing::Test {
 protected:
  std::unique_ptr<S3Backend> open(S3Integrity integrity = S3Integrity::kPayloadHash) {
    S3Options options;
    options.bucket = "bkt";
    options.endpoint = server_.url();
    options.part_bytes = 5 * kMiB;
    options.stall_timeout = std::chrono::seconds(2);
    options.abilities = S3Abilities{.conditional_put = true, .conditional_complete = true, .integrity = integrity};
    auto backend = S3Backend::open(options, credentials_);
    EXPECT_OK(backend);
    return std::move(backend).value();
  }
  /// Uploads an object of three parts; the outcome of commit().
  Status upload(S3Backend& backend) {
    CACS_ASSIGN(auto writer, backend.create("large", Overwrite::kNo));
    CACS_TRY(writer->append(object_bytes(11 * kMiB, 1)));
    return writer->commit();
  }
  net::Response answer_upload(const net::Request& request) {
    if (has_query(request, "?uploads"))
      return xml(200, "<InitiateMultipartUploadResult><UploadId>U+/=</UploadId></InitiateMultipartUploadResult>");
    if (request.method == "PUT") return with_header(xml(200, ""), "ETag", "\"<e>\"");
    if (request.method == "DELETE") return xml(204, "");
    completion_ = request.body;
    return complete_(request);
  }

  std::shared_ptr<CountedCredentials> credentials_ = std::make_shared<CountedCredentials>();
  std::function<net::Response(const net::Request&)> answer_ = [this](const net::Request& r) {
    return answer_upload(r);
  };
  std::function<net::Response(const net::Request&)> complete_;
  std::string completion_;
  TestHttpServer server_{[this](const net::Request& request) { return answer_(request); }};
};

TEST_F(HostileStore, CompletionGivesPartsBackAndIsConditional) {
  std::string condition;
  complete_ = [&](const net::Request& request) {
    condition = request.headers.get("If-None-Match");
    return xml(
        200, "  \n<?xml version=\"1.0\"?><CompleteMultipartUploadResult><ETag></ETag></CompleteMultipartUploadResult>");
  };
  const auto backend = open();
  ASSERT_OK(upload(*backend));
  EXPECT_EQ(condition, "*");
  EXPECT_THAT(completion_, HasSubstr("<PartNumber>3</PartNumber><ETag>\"&lt;e&gt;\"</ETag>"));
  EXPECT_THAT(server_.asked(),
              ElementsAre("POST /bkt/large?uploads=", "PUT /bkt/large?partNumber=1&uploadId=U%2B%2F%3D",
                          "PUT /bkt/large?partNumber=2&uploadId=U%2B%2F%3D",
                          "PUT /bkt/large?partNumber=3&uploadId=U%2B%2F%3D", "POST /bkt/large?uploadId=U%2B%2F%3D"));
}

TEST_F(HostileStore, AnErrorWithStatus200IsAnError) {
  complete_ = [](const net::Request&) { return error_document(200, "InternalError"); };
  const auto backend = open();
  const auto status = upload(*backend);
  EXPECT_CODE(status, ErrorCode::kUnavailable);
  EXPECT_THAT(status.error().message, HasSubstr("InternalError"));
  EXPECT_THAT(server_.asked(), Not(Contains(StartsWith("DELETE")))) << "it might be completed yet";
}

TEST_F(HostileStore, NeitherSuccessNorFailureIsUnknown) {
  for (const char* body : {"", "<html/>", "<CompleteMultipartUpload", "OK"}) {
    complete_ = [&](const net::Request&) { return xml(200, body); };
    EXPECT_CODE(upload(*open()), ErrorCode::kUnavailable);
  }
}

TEST_F(HostileStore, ACompletionWithoutAnAnswerMayBeRepeated) {
  std::atomic<int> tries{0};
  complete_ = [&](const net::Request&) {
    if (++tries == 1) return error_document(503, "SlowDown");
    return xml(200, "<CompleteMultipartUploadResult/>");
  };
  const auto backend = open();
  auto writer = backend->create("large", Overwrite::kYes);
  ASSERT_OK(writer);
  ASSERT_OK((*writer)->append(object_bytes(6 * kMiB, 1)));
  EXPECT_CODE((*writer)->commit(), ErrorCode::kUnavailable);
  EXPECT_CODE((*writer)->append(object_bytes(1, 1)), ErrorCode::kAborted);
  EXPECT_OK((*writer)->commit());
  EXPECT_CODE((*writer)->commit(), ErrorCode::kAborted);
}

TEST_F(HostileStore, ARefusedCompletionIsAborted) {
  complete_ = [](const net::Request&) { return error_document(412, "PreconditionFailed"); };
  EXPECT_CODE(upload(*open()), ErrorCode::kConflict);
  EXPECT_THAT(server_.asked(), Contains("DELETE /bkt/large?uploadId=U%2B%2F%3D"));
}

TEST_F(HostileStore, AFailedPartIsAborted) {
  answer_ = [this](const net::Request& request) {
    return has_query(request, "partNumber=2") ? error_document(403, "QuotaExceeded") : answer_upload(request);
  };
  EXPECT_CODE(upload(*open()), ErrorCode::kNoSpace);
  EXPECT_THAT(server_.asked(), Contains(StartsWith("DELETE ")));
  EXPECT_THAT(server_.asked(), Not(Contains(HasSubstr("partNumber=3"))));
}

TEST_F(HostileStore, PartsWithoutEtagOrUploadsWithoutIdAreRefused) {
  answer_ = [this](const net::Request& request) {
    return request.method == "PUT" ? xml(200, "") : answer_upload(request);
  };
  EXPECT_CODE(upload(*open()), ErrorCode::kIo);
  answer_ = [](const net::Request&) { return xml(200, "<InitiateMultipartUploadResult/>"); };
  EXPECT_CODE(upload(*open()), ErrorCode::kInvalidArgument);
}

TEST_F(HostileStore, WhatWasDamagedOnTheWayIsSeenByItsEtag) {
  const std::string md5_of_other = "\"00000000000000000000000000000000\"";
  answer_ = [&](const net::Request& request) {
    return with_header(xml(request.method == "DELETE" ? 204 : 200, ""), "ETag", md5_of_other);
  };
  const auto data = object_bytes(100, 1);
  EXPECT_CODE(put_object(*open(S3Integrity::kEtag), "a", data, Overwrite::kNo), ErrorCode::kCorrupt);
  EXPECT_THAT(server_.asked(), ElementsAre("PUT /bkt/a", "DELETE /bkt/a"));
  EXPECT_OK(put_object(*open(S3Integrity::kNone), "a", data, Overwrite::kNo));
  // An ETag that is no MD5 (an encrypted object's) says nothing.
  answer_ = [&](const net::Request&) { return with_header(xml(200, ""), "ETag", "\"abc-1\""); };
  EXPECT_OK(put_object(*open(S3Integrity::kEtag), "a", data, Overwrite::kNo));
}

TEST_F(HostileStore, RangesAreChecked) {
  const auto backend = open();
  std::array<std::byte, 4> out{};
  const auto answer_with = [&](int status, const std::string& range, const std::string& body) {
    answer_ = [=](const net::Request&) {
      return with_header(net::text_response(status, body), "Content-Range", range);
    };
    return backend->read("a", 5, out);
  };
  const auto good = answer_with(206, "bytes 5-8/100", "abcd");
  ASSERT_OK(good);
  EXPECT_EQ(*good, 4U);
  const auto end = answer_with(206, "bytes 5-6/7", "ab");
  ASSERT_OK(end);
  EXPECT_EQ(*end, 2U);
  EXPECT_CODE(answer_with(200, "", "abcdefghijkl"), ErrorCode::kIo);  // Range was ignored
  EXPECT_CODE(answer_with(206, "", "abcd"), ErrorCode::kIo);
  EXPECT_CODE(answer_with(206, "bytes 0-3/100", "abcd"), ErrorCode::kIo);
  EXPECT_CODE(answer_with(206, "bytes 5-7/100", "abc"), ErrorCode::kIo);
  EXPECT_CODE(answer_with(206, "bytes 5-8/8", "abcd"), ErrorCode::kIo);
  EXPECT_CODE(answer_with(206, "bytes 5-8/100", "abc"), ErrorCode::kUnavailable);
  EXPECT_CODE(answer_with(206, "bytes 5-8/99999999999999999999", "abcd"), ErrorCode::kIo);
  EXPECT_CODE(answer_with(206, "bytes 5-8/*", "abcd"), ErrorCode::kIo);
  // More than was asked for never goes beyond the buffer.
  EXPECT_OK(answer_with(206, "bytes 5-8/100", "abcdefgh"));
  const auto beyond = answer_with(416, "bytes */5", "<Error><Code>InvalidRange</Code></Error>");
  ASSERT_OK(beyond);
  EXPECT_EQ(*beyond, 0U);
}

TEST_F(HostileStore, TheWholeObjectIsAsGoodAsItsBeginning) {
  answer_ = [](const net::Request&) { return net::text_response(200, "abcdef"); };
  const auto backend = open();
  std::array<std::byte, 4> out{};
  auto count = backend->read("a", 0, out);
  ASSERT_OK(count);
  EXPECT_EQ(*count, 4U);
  answer_ = [](const net::Request&) { return net::text_response(200, "ab"); };
  count = backend->read("a", 0, out);
  ASSERT_OK(count);
  EXPECT_EQ(*count, 2U);
}

TEST_F(HostileStore, ASilentFailureOfHeadIsAskedAgain) {
  answer_ = [](const net::Request& request) {
    if (request.method == "HEAD") return xml(404, "");
    return error_document(404, "NoSuchBucket");
  };
  EXPECT_CODE(open()->size("a"), ErrorCode::kInvalidArgument);
  EXPECT_THAT(server_.asked(), ElementsAre("HEAD /bkt/a", "GET /bkt/a"));
}

TEST_F(HostileStore, ListingsThatGoInACircleEnd) {
  answer_ = [](const net::Request&) {
    return xml(200,
               "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
               "<Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>");
  };
  EXPECT_CODE(open()->list("", [](const ObjectInfo&) -> Status { return {}; }), ErrorCode::kIo);
}

TEST_F(HostileStore, ForeignKeysAreNotListed) {
  answer_ = [](const net::Request&) {
    return xml(200,
               "<ListBucketResult><EncodingType>url</EncodingType>"
               "<Contents><Key>good/a</Key><Size>1</Size></Contents><Contents><Key>b%20c</Key><Size>1</Size></Contents>"
               "<Contents><Key>..%2fx</Key><Size>1</Size></Contents><Contents><Key>c+d</Key><Size>1</Size></Contents>"
               "<Contents><Key>folder/</Key><Size>0</Size></Contents></ListBucketResult>");
  };
  std::vector<std::string> names;
  ASSERT_OK(open()->list("", [&](const ObjectInfo& info) -> Status {
    names.push_back(info.name);
    return {};
  }));
  EXPECT_THAT(names, ElementsAre("good/a"));
}

TEST_F(HostileStore, ExpiredKeysAreFetchedAgainOnce) {
  std::vector<std::string> bodies;
  answer_ = [&](const net::Request& request) {
    bodies.push_back(request.body);
    const bool old = request.headers.get("Authorization").find("Credential=AK0/") != std::string_view::npos;
    return old ? error_document(400, "ExpiredToken") : xml(200, "");
  };
  const auto data = object_bytes(1000, 1);
  ASSERT_OK(put_object(*open(), "a", data, Overwrite::kNo));
  EXPECT_EQ(credentials_->invalidated, 1);
  ASSERT_EQ(bodies.size(), 2U);
  EXPECT_EQ(bodies[0], bodies[1]);
  answer_ = [](const net::Request&) { return error_document(400, "ExpiredToken"); };
  EXPECT_CODE(put_object(*open(), "a", data, Overwrite::kNo), ErrorCode::kPermission);
  EXPECT_EQ(credentials_->invalidated, 2);
}

TEST_F(HostileStore, SecretsAreInNoMessage) {
  for (const int status : {400, 403, 500}) {
    answer_ = [=](const net::Request& request) {
      return xml(status, "<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><StringToSign>" +
                             std::string(request.headers.get("Authorization")) + "</StringToSign></Error>");
    };
    const auto result = open()->size("a");
    ASSERT_FALSE(result.ok());
    for (const char* secret : {"SECRET", "TOKEN", "Signature="}) {
      EXPECT_THAT(result.error().to_string(), Not(HasSubstr(secret)));
    }
  }
}

TEST_F(HostileStore, AStoreThatShowsOldBytesIsRefused) {
  answer_ = [](const net::Request& request) {
    if (has_query(request, "list-type")) return xml(200, "<ListBucketResult/>");
    if (request.method == "GET") return net::text_response(200, "old");
    return xml(request.method == "DELETE" ? 204 : 200, "");
  };
  S3Options options;
  options.bucket = "bkt";
  options.endpoint = server_.url();
  const auto backend = S3Backend::open(options, credentials_);
  EXPECT_CODE(backend, ErrorCode::kUnsupported);
  EXPECT_THAT(server_.asked(), Contains(StartsWith("DELETE /bkt/probe/"))) << "it leaves nothing";
}

TEST_F(HostileStore, AnEndpointThatIsNoS3IsRefused) {
  answer_ = [](const net::Request&) { return net::text_response(200, "<html>Welcome</html>"); };
  S3Options options;
  options.bucket = "bkt";
  options.endpoint = server_.url();
  const auto backend = S3Backend::open(options, credentials_);
  EXPECT_CODE(backend, ErrorCode::kInvalidArgument);
  EXPECT_THAT(backend.error().hint, HasSubstr("endpoint"));
  options.endpoint = "http://127.0.0.1:1";
  EXPECT_CODE(S3Backend::open(options, credentials_), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace cacs::repository
