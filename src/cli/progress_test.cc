#include "cli/progress.h"

#include <gtest/gtest.h>

#include "cli/format.h"

namespace cacs::cli {
namespace {

const ProgressSample kHalf{.label = "storing",
                           .bytes_done = 256U << 20U,
                           .bytes_total = 512U << 20U,
                           .bytes_per_second = 64.0 * 1024 * 1024,
                           .left = std::chrono::seconds(4),
                           .elapsed = std::chrono::seconds(5)};

TEST(Progress, ShowsBytesRateAndTimeLeft) {
  EXPECT_EQ(render_progress(kHalf, 100),
            "storing  [###############---------------]  50%  256 MiB of 512 MiB  64 MiB/s  0:04 left");
}

TEST(Progress, FitsEveryWidth) {
  for (std::size_t columns = 1; columns <= 200; ++columns) {
    const std::string line = render_progress(kHalf, columns);
    EXPECT_LE(display_width(line), columns);
    EXPECT_FALSE(line.empty());
  }
  EXPECT_EQ(render_progress(kHalf, 60), "storing  50%  256 MiB of 512 MiB  64 MiB/s  0:04 left");
  EXPECT_EQ(render_progress(kHalf, 15), "storing  50%");
  EXPECT_EQ(render_progress(kHalf, 4), "stor");
}

TEST(Progress, WithoutATotalItShowsWhatIsKnown) {
  EXPECT_EQ(render_progress({.label = "restart", .elapsed = std::chrono::seconds(75)}, 80), "restart  1:15");
  EXPECT_EQ(render_progress({.label = "fetching", .bytes_done = 2048, .elapsed = std::chrono::seconds(2)}, 80),
            "fetching  2 KiB  0:02");
}

TEST(Progress, MoreThanTheTotalIsStillHundredPercent) {
  const std::string line = render_progress({.label = "x", .bytes_done = 20, .bytes_total = 10}, 120);
  EXPECT_NE(line.find("100%"), std::string::npos);
  EXPECT_EQ(line.find('-'), std::string::npos);
}

TEST(Progress, ControlBytesOfALabelAreShownNotSent) {
  EXPECT_EQ(render_progress({.label = "a\x1b", .elapsed = std::chrono::seconds(0)}, 80), "a\\x1b  0:00");
}

}  // namespace
}  // namespace cacs::cli
