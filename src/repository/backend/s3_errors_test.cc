#include "repository/backend/s3_errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

using std::chrono::sys_days;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

const S3FailureContext kContext{"bkt", "us-east-1", sys_days(2026y / 11 / 21) + 12h};

Error error_of(int status, const std::string& body, const net::Headers& headers = {}) {
  return s3_error(read_failure(status, headers, body), "read a", kContext);
}

std::string document(const std::string& code, const std::string& more = "<Message>m</Message>") {
  return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code>" + more + "</Error>";
}

TEST(S3Errors, CodesByName) {
  EXPECT_EQ(error_of(404, document("NoSuchKey")).code, ErrorCode::kNotFound);
  EXPECT_EQ(error_of(404, document("NoSuchUpload")).code, ErrorCode::kAborted);
  EXPECT_EQ(error_of(403, document("AccessDenied")).code, ErrorCode::kPermission);
  EXPECT_EQ(error_of(400, document("ExpiredToken")).code, ErrorCode::kPermission);
  EXPECT_EQ(error_of(400, document("RequestTimeout")).code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_of(503, document("SlowDown")).code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_of(403, document("QuotaExceeded")).code, ErrorCode::kNoSpace);
  EXPECT_EQ(error_of(400, document("BadDigest")).code, ErrorCode::kCorrupt);
  EXPECT_EQ(error_of(400, document("XAmzContentSHA256Mismatch")).code, ErrorCode::kCorrupt);
  EXPECT_EQ(error_of(409, document("OperationAborted")).code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_of(412, document("PreconditionFailed")).code, ErrorCode::kConflict);
  EXPECT_EQ(error_of(409, document("Whatever")).code, ErrorCode::kConflict);
  EXPECT_EQ(error_of(403, document("InvalidObjectState")).code, ErrorCode::kUnsupported);
}

TEST(S3Errors, CodesByStatusAlone) {
  for (const auto& [status, code] : std::vector<std::pair<int, ErrorCode>>{{400, ErrorCode::kInvalidArgument},
                                                                           {401, ErrorCode::kPermission},
                                                                           {403, ErrorCode::kPermission},
                                                                           {404, ErrorCode::kNotFound},
                                                                           {408, ErrorCode::kUnavailable},
                                                                           {413, ErrorCode::kTooLarge},
                                                                           {429, ErrorCode::kUnavailable},
                                                                           {500, ErrorCode::kUnavailable},
                                                                           {501, ErrorCode::kUnsupported},
                                                                           {502, ErrorCode::kUnavailable},
                                                                           {503, ErrorCode::kUnavailable},
                                                                           {504, ErrorCode::kUnavailable},
                                                                           {507, ErrorCode::kNoSpace}}) {
    const Error error = error_of(status, "");
    EXPECT_EQ(error.code, code) << status;
    EXPECT_THAT(error.message, HasSubstr(std::to_string(status)));
    EXPECT_THAT(error.message, HasSubstr("read a"));
  }
}

TEST(S3Errors, EmptyMessagesAsCephSendsThem) {
  const Error error = error_of(403, document("AccessDenied", "<Message></Message>"));
  EXPECT_EQ(error.message, "read a: AccessDenied (HTTP status 403)");
  EXPECT_THAT(error.hint, HasSubstr("PutObject"));
}

TEST(S3Errors, AMissingBucketIsNoMissingObject) {
  const Error error = error_of(404, document("NoSuchBucket"));
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.message, HasSubstr("'bkt'"));
  EXPECT_THAT(error.hint, HasSubstr("create it"));
}

TEST(S3Errors, AProxysPageIsNoMissingObject) {
  const Error error = error_of(404, "<html><body>nginx</body></html>");
  EXPECT_EQ(error.code, ErrorCode::kIo);
  EXPECT_THAT(error.message, HasSubstr("endpoint"));
  EXPECT_EQ(error_of(503, "<html>overloaded</html>").code, ErrorCode::kUnavailable);
}

TEST(S3Errors, OtherRegions) {
  net::Headers headers;
  headers.add("x-amz-bucket-region", "eu-west-1");
  for (const Error& error : {error_of(301, "", headers), error_of(307, "", headers),
                             error_of(301, document("PermanentRedirect", "<Region>eu-west-1</Region>")),
                             error_of(400, document("AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>"))}) {
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(error.type, "s3-wrong-region");
    EXPECT_THAT(error.message, HasSubstr("eu-west-1, not in us-east-1"));
    EXPECT_EQ(error.hint, "set the region to eu-west-1");
  }
  EXPECT_EQ(error_of(301, "").type, "s3-wrong-region");
  // A store that names the bucket's region in every answer.
  net::Headers same;
  same.add("x-amz-bucket-region", "us-east-1");
  EXPECT_EQ(error_of(400, document("InvalidRequest"), same).type, "");
}

TEST(S3Errors, ClockSkewIsMeasured) {
  net::Headers headers;
  headers.add("Date", "Sat, 21 Nov 2026 12:30:00 GMT");
  const Error error = error_of(403, document("RequestTimeTooSkewed"), headers);
  EXPECT_EQ(error.type, "s3-clock-skew");
  EXPECT_EQ(error.code, ErrorCode::kPermission);
  EXPECT_THAT(error.message, HasSubstr("30m00s (behind)"));
  EXPECT_THAT(error_of(403, document("RequestTimeTooSkewed")).message, HasSubstr("too much"));
}

TEST(S3Errors, WhatAServerSaysIsMadePrintableAndShort) {
  const Error error = error_of(400, document("Bad", "<Message>a\nb" + std::string(5000, 'x') + "</Message>"));
  EXPECT_EQ(error.message.find('\n'), std::string::npos);
  EXPECT_LT(error.message.size(), 400U);
}

TEST(S3Errors, ExpiredKeysAreKnown) {
  EXPECT_TRUE(is_expired_credential(read_failure(400, {}, document("ExpiredToken"))));
  EXPECT_FALSE(is_expired_credential(read_failure(403, {}, document("AccessDenied"))));
}

}  // namespace
}  // namespace cacs::repository
