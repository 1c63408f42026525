#include "repository/backend/aws_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/io.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(AwsProfile, CredentialsFile) {
  const auto profiles = parse_aws_file(
      "# a comment\n"
      "[default]\r\n"
      "aws_access_key_id = AK1\r\n"
      "aws_secret_access_key=sec=ret/+#1 ; the old one\r\n"
      "\n"
      "[ other ]\n"
      "aws_access_key_id\t=\tAK2\n"
      "; another comment\n"
      "empty =\n"
      "[profile x]\n"
      "a = b",
      AwsFile::kCredentials);
  ASSERT_OK(profiles);
  EXPECT_THAT(profiles->at("default"),
              UnorderedElementsAre(Pair("aws_access_key_id", "AK1"), Pair("aws_secret_access_key", "sec=ret/+#1")));
  EXPECT_THAT(profiles->at("other"), UnorderedElementsAre(Pair("aws_access_key_id", "AK2"), Pair("empty", "")));
  EXPECT_THAT(profiles->at("profile x"), UnorderedElementsAre(Pair("a", "b"))) << "a name like any other there";
  EXPECT_EQ(profiles->size(), 3U);
}

TEST(AwsProfile, ConfigFile) {
  const auto profiles = parse_aws_file(
      "[default]\n"
      "region = eu-west-1\n"
      "s3 =\n"
      "  addressing_style = path\n"
      "  endpoint_url = http://127.0.0.1:9000\n"
      "output = json\n"
      "[profile dev]\n"
      "region = eu-west-2\n"
      "[profile \"two words\"]\n"
      "region = eu-west-3\n"
      "[sso-session dev]\n"
      "sso_region = x\n"
      "[dev]\n"
      "region = not-a-profile-here\n",
      AwsFile::kConfig);
  ASSERT_OK(profiles);
  EXPECT_THAT(profiles->at("default"),
              UnorderedElementsAre(Pair("region", "eu-west-1"), Pair("s3", ""), Pair("s3.addressing_style", "path"),
                                   Pair("s3.endpoint_url", "http://127.0.0.1:9000"), Pair("output", "json")));
  EXPECT_THAT(profiles->at("dev"), UnorderedElementsAre(Pair("region", "eu-west-2")));
  EXPECT_THAT(profiles->at("two words"), UnorderedElementsAre(Pair("region", "eu-west-3")));
  EXPECT_EQ(profiles->size(), 3U);
}

TEST(AwsProfile, WrongLinesAreNamedByNumberAndNotShown) {
  for (const char* text : {"[default]\nSECRET\n", "[default\nSECRET = 1\n", "\nSECRET = 1\n", "[default]\n= SECRET\n",
                           "[default]\na = b\n  SECRET = 1\n"}) {
    SCOPED_TRACE(text);
    const auto profiles = parse_aws_file(text, AwsFile::kCredentials);
    ASSERT_FALSE(profiles.ok());
    EXPECT_THAT(profiles.error().to_string(), HasSubstr("line "));
    EXPECT_THAT(profiles.error().to_string(), Not(HasSubstr("SECRET")));
  }
}

class LoadProfile : public ::testing::Test {
 protected:
  void write(const std::string& name, std::string_view text) {
    ASSERT_OK(write_file_durably(directory_.path() / name, text));
  }
  [[nodiscard]] AwsEnvironment environment() const {
    return [this](const std::string& name) -> std::optional<std::string> {
      const auto at = variables_.find(name);
      return at == variables_.end() ? std::nullopt : std::optional(at->second);
    };
  }
  TemporaryDirectory directory_;
  std::map<std::string, std::string> variables_{{"HOME", directory_.path().string()}};
};

TEST_F(LoadProfile, NoFilesIsNoProfile) {
  const auto profile = load_aws_profile(environment());
  ASSERT_OK(profile);
  EXPECT_TRUE(profile->empty());
  variables_.clear();
  EXPECT_OK(load_aws_profile(environment()));
}

TEST_F(LoadProfile, BothFilesAtTheirUsualPlaces) {
  std::filesystem::create_directory(directory_.path() / ".aws");
  write(".aws/credentials", "[default]\naws_access_key_id=AK\naws_secret_access_key=SK\n");
  // A session's token of the other file must not be mixed with these keys.
  write(".aws/config", "[default]\nregion=r1\naws_session_token=of-others\naws_access_key_id=other\n");
  const auto profile = load_aws_profile(environment());
  ASSERT_OK(profile);
  EXPECT_THAT(*profile, UnorderedElementsAre(Pair("aws_access_key_id", "AK"), Pair("aws_secret_access_key", "SK"),
                                             Pair("region", "r1")));
}

TEST_F(LoadProfile, NamedFilesAndProfile) {
  write("c1", "[x]\naws_access_key_id=AK\n");
  write("c2", "[profile x]\nregion=r2\n");
  variables_["AWS_SHARED_CREDENTIALS_FILE"] = (directory_.path() / "c1").string();
  variables_["AWS_CONFIG_FILE"] = (directory_.path() / "c2").string();
  variables_["AWS_PROFILE"] = "x";
  const auto profile = load_aws_profile(environment());
  ASSERT_OK(profile);
  EXPECT_THAT(*profile, UnorderedElementsAre(Pair("aws_access_key_id", "AK"), Pair("region", "r2")));
  variables_["AWS_PROFILE"] = "missing";
  const auto missing = load_aws_profile(environment());
  EXPECT_CODE(missing, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("missing"));
}

TEST_F(LoadProfile, AFileThatCannotBeReadIsAnError) {
  variables_["AWS_CONFIG_FILE"] = directory_.path().string();  // a directory
  EXPECT_FALSE(load_aws_profile(environment()).ok());
}

}  // namespace
}  // namespace cacs::repository
