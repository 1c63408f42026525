#include "repository/backend/s3_answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "repository/backend/s3_xml.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

using std::chrono::sys_days;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

TEST(S3Xml, TreeWithNamespacesAndEntities) {
  const auto document = parse_xml(
      " \r\n\t<?xml version=\"1.0\"?>\n<x:A xmlns:x='u' b='1'><B>1 &lt; 2 &amp; &#51;</B><B/><C><D>d</D></C></x:A>\n");
  ASSERT_OK(document);
  EXPECT_EQ(document->name, "A");
  ASSERT_EQ(document->children.size(), 3U);
  EXPECT_EQ(document->text_of("B"), "1 < 2 & 3");
  EXPECT_EQ(document->find("C")->text_of("D"), "d");
  EXPECT_EQ(document->find("D"), nullptr) << "a grandchild";
  EXPECT_EQ(document->text_of("E"), "");
}

TEST(S3Xml, RefusesWhatIsNoDocument) {
  for (const char* text :
       {"", "  ", "text", "<a>", "<a></b>", "<a/><b/>", "<a>\xff</a>", "<a>&unknown;</a>", "<html><br></html>"}) {
    SCOPED_TRACE(text);
    EXPECT_CODE(parse_xml(text), ErrorCode::kInvalidArgument);
  }
}

TEST(S3Xml, RefusesDocumentTypesAndSoEntities) {
  const auto laughs =
      parse_xml("<!DOCTYPE a [<!ENTITY x \"ha\"><!ENTITY y \"&x;&x;&x;&x;\"><!ENTITY z \"&y;&y;&y;&y;\">]><a>&z;</a>");
  ASSERT_FALSE(laughs.ok());
  EXPECT_THAT(laughs.error().message, HasSubstr("document type"));
  EXPECT_FALSE(parse_xml("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>").ok());
}

TEST(S3Xml, IsBounded) {
  const XmlLimits limits{.bytes = 200, .elements = 5, .depth = 3};
  EXPECT_TRUE(parse_xml("<a><b><c/></b><d/><e/></a>", limits).ok());
  EXPECT_FALSE(parse_xml("<a><b><c/></b><d/><e/><f/></a>", limits).ok());
  EXPECT_FALSE(parse_xml("<a><b><c><d/></c></b></a>", limits).ok());
  EXPECT_FALSE(parse_xml("<a>" + std::string(200, 'x') + "</a>", limits).ok());
}

TEST(S3Xml, EscapedTextIsReadBack) {
  const std::string text = "\"1 < 2 && ]]> '";
  const auto document = parse_xml("<a>" + xml_escape(text) + "</a>");
  ASSERT_OK(document);
  EXPECT_EQ(document->text, text);
}

TEST(S3Answers, ListPage) {
  const auto page = parse_list_page(
      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>"
      "<IsTruncated>true</IsTruncated><NextContinuationToken>a b/c=</NextContinuationToken>"
      "<Contents><Key>p%2Fa%20b%c3%a4+</Key><Size>18446744073709551615</Size></Contents>"
      "<Contents><Key>p/b</Key><Size>0</Size><ETag>x</ETag></Contents>"
      "<CommonPrefixes><Prefix>q/</Prefix></CommonPrefixes></ListBucketResult>");
  ASSERT_OK(page);
  ASSERT_EQ(page->entries.size(), 2U);
  EXPECT_EQ(page->entries[0].key, "p/a b\xc3\xa4 ");
  EXPECT_EQ(page->entries[0].size, 18446744073709551615U);
  EXPECT_EQ(page->entries[1].key, "p/b");
  EXPECT_EQ(page->next, "a b/c=") << "tokens are never encoded";
  const auto last = parse_list_page("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
  ASSERT_OK(last);
  EXPECT_TRUE(last->next.empty());
}

TEST(S3Answers, ListPagesThatAreWrong) {
  const auto page = [](const std::string& inside) {
    return parse_list_page("<ListBucketResult>" + inside + "</ListBucketResult>");
  };
  EXPECT_TRUE(page("").ok());
  EXPECT_FALSE(page("<IsTruncated>true</IsTruncated>").ok()) << "would end the listing early";
  EXPECT_FALSE(page("<Contents><Key>a</Key></Contents>").ok());
  EXPECT_FALSE(page("<Contents><Key>a</Key><Size>-1</Size></Contents>").ok());
  EXPECT_FALSE(page("<Contents><Key>a</Key><Size>18446744073709551616</Size></Contents>").ok());
  EXPECT_FALSE(page("<Contents><Key>a</Key><Size>1x</Size></Contents>").ok());
  for (const char* key : {"%", "%4", "%4g", "%-1"}) {
    EXPECT_FALSE(
        page("<EncodingType>url</EncodingType><Contents><Key>" + std::string(key) + "</Key><Size>1</Size></Contents>")
            .ok())
        << key;
  }
  EXPECT_FALSE(page("<Contents><Key>" + std::string(10'000, 'x') + "</Key><Size>1</Size></Contents>").ok());
  EXPECT_FALSE(parse_list_page("<html>Welcome</html>").ok());
  EXPECT_FALSE(parse_list_page("<Error><Code>x</Code></Error>").ok());
}

TEST(S3Answers, UploadPage) {
  const auto page = parse_upload_page(
      "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker>"
      "<NextUploadIdMarker>i</NextUploadIdMarker><Upload><Key>a</Key><UploadId>u1</UploadId>"
      "<Initiated>2026-11-21T10:58:07.123Z</Initiated></Upload><Upload><Key>b</Key><UploadId>u2</UploadId></Upload>"
      "</ListMultipartUploadsResult>");
  ASSERT_OK(page);
  ASSERT_EQ(page->uploads.size(), 2U);
  EXPECT_EQ(page->uploads[0].id, "u1");
  EXPECT_EQ(page->uploads[0].initiated, sys_days(2026y / 11 / 21) + 10h + 58min + 7s);
  EXPECT_FALSE(page->uploads[1].initiated.has_value());
  EXPECT_EQ(page->next_key, "k");
  EXPECT_EQ(page->next_id, "i");
  EXPECT_FALSE(
      parse_upload_page("<ListMultipartUploadsResult><Upload><Key>a</Key></Upload></ListMultipartUploadsResult>").ok());
  EXPECT_FALSE(
      parse_upload_page("<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>")
          .ok());
}

TEST(S3Answers, UploadId) {
  const auto id =
      parse_upload_id("<InitiateMultipartUploadResult><UploadId> x </UploadId></InitiateMultipartUploadResult>");
  ASSERT_OK(id);
  EXPECT_EQ(*id, "x");
  EXPECT_FALSE(parse_upload_id("<InitiateMultipartUploadResult/>").ok());
  EXPECT_FALSE(parse_upload_id("").ok());
}

TEST(S3Answers, Times) {
  EXPECT_EQ(parse_http_time("Sat, 21 Nov 2026 10:58:00 GMT"), sys_days(2026y / 11 / 21) + 10h + 58min);
  EXPECT_EQ(parse_iso_time("2026-11-21T10:58:00Z"), sys_days(2026y / 11 / 21) + 10h + 58min);
  EXPECT_EQ(parse_iso_time("2026-11-21T10:58:00"), sys_days(2026y / 11 / 21) + 10h + 58min);
  for (const char* text : {"", "yesterday", "2026-13-21T10:58:00Z", "21 Nov 2026", "1013-11-21T10:58:00Z",
                           "9999-11-21T10:58:00Z", "Sat, 21 Nov 1013 10:58:00 GMT"}) {
    EXPECT_FALSE(parse_iso_time(text).has_value()) << text;
    EXPECT_FALSE(parse_http_time(text).has_value()) << text;
  }
  EXPECT_FALSE(parse_iso_time(std::string(1'000'000, '2')).has_value());
}

}  // namespace
}  // namespace cacs::repository
