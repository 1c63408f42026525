#include "pod/exit_status.h"

#include <gtest/gtest.h>

#include <csignal>

namespace cacs::pod {
namespace {

using Kind = PodExit::Kind;

TEST(CombineExit, BelievesTheRecordOfThisIncarnationOnly) {
  EXPECT_EQ(combine_exit("3 768\n", 3, ExitStatus{false, 3}, false).code, 3);
  const auto stale = combine_exit("2 768\n", 3, ExitStatus{true, SIGKILL}, false);
  EXPECT_EQ(stale.kind, Kind::kSignaled);
  EXPECT_EQ(stale.signal, SIGKILL);
  EXPECT_EQ(combine_exit("3 9\n", 3, std::nullopt, false).signal, SIGKILL);
}

TEST(CombineExit, TellsOutOfMemoryApart) {
  EXPECT_EQ(combine_exit("3 9\n", 3, std::nullopt, true).kind, Kind::kOom);
  // A program that handled the loss of a child and ended in good order was not killed.
  EXPECT_EQ(combine_exit("3 0\n", 3, std::nullopt, true).kind, Kind::kExited);
}

TEST(CombineExit, SaysWhenItDoesNotKnow) {
  EXPECT_EQ(combine_exit("", 3, std::nullopt, false).kind, Kind::kUnknown);
  EXPECT_EQ(combine_exit("garbage", 3, std::nullopt, false).kind, Kind::kUnknown);
  EXPECT_EQ(combine_exit("3 exec 2\n", 3, std::nullopt, false).kind, Kind::kExecFailed);
}

TEST(PodExit, CrossesASocket) {
  PodExit exit;
  exit.kind = Kind::kOom;
  exit.signal = 9;
  const auto back = PodExit::from_json(exit.to_json());
  EXPECT_EQ(back.kind, Kind::kOom);
  EXPECT_EQ(back.signal, 9);
}

}  // namespace
}  // namespace cacs::pod
