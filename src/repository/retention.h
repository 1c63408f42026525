#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

/// Which checkpoints a policy keeps. Pure.
///
/// The rules are those of restic's `forget`: checkpoints are looked at from the newest to the
/// oldest, each application by itself. A rule with a number N keeps the newest checkpoint of each of the last N
/// periods that have one; where fewer than N have one, the oldest checkpoint fills the rule up, so that history is as
/// long as it may be. `within` keeps what is younger than that, counted from the newest checkpoint of the application
/// (that is not of the future), not from now: an application that was stopped long ago loses nothing by it. A
/// checkpoint stays if any rule keeps it. borg's `prune` differs in this: there a checkpoint that an earlier rule (in
/// the order of the fields below) has kept does not use up the number of a later one, so that it keeps more.
namespace cacs::repository {

/// How long ago, in the calendar (UTC): "1y2m3d4h", each part at most once, in this order.
struct CalendarSpan {
  int years = 0;
  int months = 0;
  int days = 0;
  int hours = 0;

  [[nodiscard]] bool empty() const { return years == 0 && months == 0 && days == 0 && hours == 0; }
  friend bool operator==(const CalendarSpan&, const CalendarSpan&) = default;
};
/// kInvalidArgument for what is no such span, for an empty one, and for more than 9999 of anything.
Result<CalendarSpan> parse_calendar_span(std::string_view text);
/// The instant so long before `time`. A day that the month has not is the one as many days after its first: a month
/// before March 31st is March 3rd (March 2nd in a leap year).
WallTime before(WallTime time, const CalendarSpan& span);

struct RetentionPolicy {
  static constexpr std::int64_t kUnlimited = -1;

  /// How many each rule keeps: 0 none, kUnlimited as many as there are.
  std::int64_t last = 0;
  std::int64_t hourly = 0;
  std::int64_t daily = 0;
  std::int64_t weekly = 0;  ///< ISO 8601: weeks begin on Monday, and belong to the year of their Thursday
  std::int64_t monthly = 0;
  std::int64_t yearly = 0;
  CalendarSpan within;

  /// An empty policy says nothing: it would remove everything.
  [[nodiscard]] bool empty() const;
};

struct RetentionItem {
  std::string application;
  std::string id;  ///< unique
  WallTime created{};
};

struct RetentionChoice {
  RetentionItem item;
  std::vector<std::string> reasons;  ///< rules that keep it: "last", "daily", "oldest daily", "within"; empty: remove

  [[nodiscard]] bool keep() const { return !reasons.empty(); }
};

/// What becomes of each checkpoint: by application, the newest first; of the same time, the greatest id first. Their
/// order on the way in does not matter. The newest of each application is always kept. kInvalidArgument for a policy
/// that is empty or has other negative numbers.
Result<std::vector<RetentionChoice>> apply_retention(std::vector<RetentionItem> items, const RetentionPolicy& policy,
                                                     WallTime now);

}  // namespace cacs::repository
