#include "cli/api.h"

#include <gtest/gtest.h>

#include "cli/exit_codes.h"
#include "cli/privileges.h"
#include "cli/run_session.h"

namespace cacs::cli {
namespace {

const std::vector<JsonObject> kItems{{{"id", "0193a4f2-7c3e-7000-8000-000000000001"}, {"name", "melt"}},
                                     {{"id", "0193a4f2-7c3e-7000-8000-000000000002"}, {"name", "melt"}},
                                     {{"id", "0193b000-7c3e-7000-8000-000000000003"}, {"name", "beef"}},
                                     {{"id", "beef0000-7c3e-7000-8000-000000000004"}, {"name", "other"}}};

TEST(PickItem, TakesIdsPrefixesAndNames) {
  EXPECT_EQ(pick_item(kItems, "0193a4f2-7c3e-7000-8000-000000000002", "application").value(),
            "0193a4f2-7c3e-7000-8000-000000000002");
  EXPECT_EQ(pick_item(kItems, "0193b", "application").value(), "0193b000-7c3e-7000-8000-000000000003");
  EXPECT_EQ(pick_item(kItems, "other", "application").value(), "beef0000-7c3e-7000-8000-000000000004");
}

TEST(PickItem, AmbiguousTextListsTheCandidates) {
  const Error by_name = pick_item(kItems, "melt", "application").error();
  EXPECT_EQ(by_name.code, ErrorCode::kConflict);
  EXPECT_NE(by_name.message.find("000000000001 (melt)"), std::string::npos);
  EXPECT_NE(by_name.message.find("000000000002 (melt)"), std::string::npos);
  EXPECT_EQ(pick_item(kItems, "0193a4f2", "application").error().code, ErrorCode::kConflict);
  EXPECT_EQ(pick_item(kItems, "beef", "application").error().code, ErrorCode::kConflict);  // a name and a prefix
}

TEST(PickItem, APrefixHasAtLeastFourDigits) {
  EXPECT_EQ(pick_item(kItems, "bee", "application").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(pick_item(kItems, "bee-", "application").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(pick_item(kItems, "othr", "application").error().hint, "did you mean 'other'?");
}

TEST(ErrorOfAnswer, ReadsProblemDocuments) {
  const Error error = error_of_answer(
      {.status = 400,
       .body = R"({"type":"urn:cacs:problem:unknown-field","title":"Bad","detail":"field 'x'","hint":"y"})",
       .location = {}});
  EXPECT_EQ(error.message, "field 'x'");
  EXPECT_EQ(error.hint, "y");
  EXPECT_EQ(error.type, "unknown-field");
  EXPECT_EQ(exit_code_for(error), kExitUsage);
  EXPECT_EQ(exit_code_for(error_of_answer({.status = 404, .body = "<html>", .location = {}})), kExitNotFound);
  EXPECT_EQ(exit_code_for(error_of_answer({.status = 409, .body = "", .location = {}})), kExitConflict);
  EXPECT_EQ(exit_code_for(error_of_answer({.status = 401, .body = "", .location = {}})), kExitUnauthenticated);
  EXPECT_EQ(exit_code_for(error_of_answer({.status = 500, .body = "", .location = {}})), kExitFailure);
}

TEST(MakeAsr, HasWhatWasAskedForAndNothingElse) {
  const RunRequest request{.command = {"lmp", "-in", "in.melt"},
                           .name = "melt",
                           .env = {"A=b=c"},
                           .workdir = "/job/",
                           .interval = "2m",
                           .keep = 3,
                           .pods = 3,
                           .cpus = 2,
                           .memory = "2GiB",
                           .mounts = {"/scratch:/data:ro"},
                           .time_limit = "8h"};
  const auto expected = parse_json_object(R"({"name":"melt","command":["lmp","-in","in.melt"],"workdir":"/job",
      "env":{"A":"b=c"},"pods":3,"resources":{"cpus":2E0,"memory":"2GiB"},
      "mounts":[{"source":"/scratch","target":"/data","mode":"ro"}],
      "checkpoint":{"interval":"2m","keep":3},"time_limit":"8h"})",
                                          "expected");
  EXPECT_EQ(make_asr(request).value(), expected.value());
  const JsonObject plain =
      make_asr({.command = {"x"}, .workdir = "/", .interval = "5m", .no_checkpoint = true}).value();
  EXPECT_EQ(plain, (JsonObject{{"command", {"x"}}, {"workdir", "/"}}));
}

TEST(MakeAsr, NamesWhatIsWrong) {
  EXPECT_FALSE(make_asr({}).ok());
  EXPECT_NE(make_asr({.command = {"x"}, .env = {"=v"}}).error().message.find("'=v'"), std::string::npos);
  EXPECT_NE(make_asr({.command = {"x"}, .mounts = {"/a:b"}}).error().message.find("'/a:b'"), std::string::npos);
  EXPECT_NE(make_asr({.command = {"x"}, .mounts = {"/a:/b:rx"}}).error().message.find("mount"), std::string::npos);
  EXPECT_NE(make_asr({.command = {"x"}, .interval = "5"}).error().message.find("'5'"), std::string::npos);
  EXPECT_FALSE(make_asr({.command = {"x"}, .memory = "lots"}).ok());
  EXPECT_FALSE(make_asr({.command = {"x"}, .env = {"CACS_NOT_SET_ANYWHERE"}}).ok());
}

TEST(Privileges, EverythingLackingIsNamed) {
  EXPECT_TRUE(check_privileges({.user = 0, .capabilities = ~std::uint64_t{0}}).ok());
  const Error nobody = check_privileges({.user = 1000, .capabilities = 0}).error();
  EXPECT_EQ(nobody.code, ErrorCode::kPermission);
  EXPECT_NE(nobody.message.find("root (this is user 1000)"), std::string::npos);
  EXPECT_NE(nobody.message.find("CAP_SYS_ADMIN"), std::string::npos);
  const auto contained = lacking_privileges({.user = 0, .capabilities = ~(std::uint64_t{1} << 12U)});
  EXPECT_EQ(contained, std::vector<std::string>{"CAP_NET_ADMIN"});
  EXPECT_TRUE(read_privileges().ok());
}

}  // namespace
}  // namespace cacs::cli
