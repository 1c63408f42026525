#include "tools/checkpoint_options.h"

#include <gtest/gtest.h>

namespace cacs::tools {
namespace {

repository::Summary summary(const std::string& checkpoint, const std::string& application, const std::string& name) {
  repository::Summary made;
  made.head.checkpoint = checkpoint;
  made.head.application = application;
  made.head.meta = {{"name", name}};
  return made;
}

std::vector<repository::Summary> some() {
  auto broken = summary("01900000-0000-7000-8000-00000000000f", "app-1", "melt");
  broken.problem = make_error(ErrorCode::kCorrupt, "damaged");
  return {summary("01900000-0000-7000-8000-000000000001", "app-1", "melt"),
          summary("01900000-0000-7000-8000-000000000002", "app-1", "melt"),
          summary("01911111-0000-7000-8000-000000000003", "app-2", "other"),
          summary("01922222-0000-7000-8000-000000000004", "app-3", "other"), broken};
}

std::string chosen(const std::string& text) {
  const auto found = choose_checkpoint(some(), text);
  return found ? *found : std::string(error_code_name(found.error().code));
}

TEST(ChooseCheckpoint, ByIdBeginningAndLatest) {
  EXPECT_EQ(chosen("01900000-0000-7000-8000-000000000001"), "01900000-0000-7000-8000-000000000001");
  EXPECT_EQ(chosen("01911111"), "01911111-0000-7000-8000-000000000003");
  EXPECT_EQ(chosen("0191"), "01911111-0000-7000-8000-000000000003");
  // The newest that can be read.
  EXPECT_EQ(chosen("app-1:latest"), "01900000-0000-7000-8000-000000000002");
  EXPECT_EQ(chosen("melt:latest"), "01900000-0000-7000-8000-000000000002");
  EXPECT_EQ(chosen("app-3:latest"), "01922222-0000-7000-8000-000000000004");
}

TEST(ChooseCheckpoint, RefusesWhatIsNotClear) {
  EXPECT_EQ(chosen("0190"), "invalid-argument");
  EXPECT_EQ(chosen("other:latest"), "invalid-argument");
  EXPECT_EQ(chosen("app-:latest"), "invalid-argument");
  EXPECT_EQ(chosen("191"), "not-found");
  EXPECT_EQ(chosen("0199"), "not-found");
  EXPECT_EQ(chosen("none:latest"), "not-found");
  EXPECT_EQ(chosen("latest"), "not-found");
  EXPECT_EQ(chosen(""), "not-found");
}

}  // namespace
}  // namespace cacs::tools
