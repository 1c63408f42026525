#include "engine/criu_log.h"

#include <gtest/gtest.h>

namespace cacs::engine {
namespace {

TEST(CriuLog, GivesTheReasonInWords) {
  const auto error = criu_reason(
      "(00.010) Error (criu/files-ext.c:98): Can't dump file 5 of that type [20666] (chr 10:229)\n"
      "(00.011) Error (criu/cr-dump.c:2128): Dumping FAILED.\n",
      false);
  EXPECT_EQ(error.type, "cannot-save");
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_NE(error.message.find("chr 10:229"), std::string::npos);
  EXPECT_EQ(error.message.find("criu/files-ext.c"), std::string::npos);
}

TEST(CriuLog, KnowsAFullDisk) {
  EXPECT_EQ(criu_reason("(00.1) Error (criu/page-xfer.c:1): Can't write: No space left on device\n", false).code,
            ErrorCode::kNoSpace);
}

TEST(CriuLog, KnowsSocketsThatCannotBeSaved) {
  const auto reason = [](const std::string& message) {
    return criu_reason(
        "(00.1) Error (criu/sk.c:1): " + message + "\n(00.2) Error (criu/cr-dump.c:2): Dumping FAILED.\n", false);
  };
  const auto waiting = reason("inet: In-flight connection (l) for 57ae36");
  EXPECT_EQ(waiting.code, ErrorCode::kConflict);
  EXPECT_NE(waiting.message.find("waits to be accepted"), std::string::npos) << waiting.message;
  for (const std::string outside : {"unix: Dangling connection 5759699",
                                    "unix: Can't dump half of stream unix connection. name: (null); peer name: /s"}) {
    const auto error = reason(outside);
    EXPECT_EQ(error.type, "outside-connection") << outside;
    EXPECT_NE(error.message.find("a unix socket with a process outside the pod"), std::string::npos) << error.message;
    EXPECT_NE(error.message.find(outside), std::string::npos) << error.message;
  }
}

TEST(CriuLog, TellsAnOrderlyFailureFromACrash) {
  EXPECT_TRUE(criu_reported_failure("(00.011) Error (criu/cr-dump.c:2128): Dumping FAILED.\n"));
  EXPECT_FALSE(criu_reported_failure("(00.011) Dumping pages\n"));
  EXPECT_FALSE(criu_reported_failure(""));
}

TEST(CriuLog, SurvivesAnything) {
  EXPECT_EQ(criu_reason("", true).code, ErrorCode::kInternal);
  EXPECT_FALSE(criu_reason("Error (\nError (): \n\x01\x02", false).message.empty());
}

}  // namespace
}  // namespace cacs::engine
