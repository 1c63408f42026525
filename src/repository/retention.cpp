#include "repository/retention.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <span>
#include <tuple>

#include "base/text.h"

namespace cacs::repository {

namespace {

constexpr int kMaxPart = 9999;

using Days = std::chrono::sys_days;

/// A number for the period that a time is in: different ones for different periods.
using PeriodOf = std::int64_t (*)(WallTime time, std::size_t position);

std::chrono::year_month_day date_of(WallTime time) { return std::chrono::floor<std::chrono::days>(time); }

std::int64_t month_of(WallTime time, std::size_t /*position*/) {
  const auto date = date_of(time);
  return std::int64_t{static_cast<int>(date.year())} * 12 + static_cast<unsigned>(date.month());
}

/// Counted from a Monday: the week that a time is in says by itself in which year of ISO 8601 it is.
std::int64_t week_of(WallTime time, std::size_t /*position*/) {
  constexpr Days kMonday = std::chrono::year{1969} / 12 / 29;
  const auto since = std::chrono::floor<std::chrono::days>(time) - kMonday;
  return std::chrono::floor<std::chrono::weeks>(since).count();
}

struct Rule {
  const char* name;
  const char* oldest;  ///< its name where it keeps the oldest to fill itself up
  std::int64_t RetentionPolicy::*count;
  PeriodOf period;
};

constexpr std::array<Rule, 6> kRules{{
    {"last", "oldest last", &RetentionPolicy::last,
     [](WallTime, std::size_t position) { return static_cast<std::int64_t>(position); }},
    {"hourly", "oldest hourly", &RetentionPolicy::hourly,
     [](WallTime time, std::size_t) -> std::int64_t {
       return std::chrono::floor<std::chrono::hours>(time).time_since_epoch().count();
     }},
    {"daily", "oldest daily", &RetentionPolicy::daily,
     [](WallTime time, std::size_t) -> std::int64_t {
       return std::chrono::floor<std::chrono::days>(time).time_since_epoch().count();
     }},
    {"weekly", "oldest weekly", &RetentionPolicy::weekly, week_of},
    {"monthly", "oldest monthly", &RetentionPolicy::monthly, month_of},
    {"yearly", "oldest yearly", &RetentionPolicy::yearly,
     [](WallTime time, std::size_t) -> std::int64_t { return static_cast<int>(date_of(time).year()); }},
}};

/// Where a rule stands on the way from the newest to the oldest.
struct Progress {
  std::int64_t left = 0;
  std::optional<std::int64_t> last_period;
};

/// What is not younger than this is not within; of checkpoints that are all of the future, everything is.
WallTime horizon_of(std::span<const RetentionChoice> group, const RetentionPolicy& policy, WallTime now) {
  const auto latest = std::ranges::find_if(group, [&](const auto& choice) { return choice.item.created <= now; });
  return before(latest == group.end() ? now : latest->item.created, policy.within);
}

void choose_of_one(std::span<RetentionChoice> group, const RetentionPolicy& policy, WallTime now) {
  std::array<Progress, kRules.size()> progress;
  for (std::size_t i = 0; i < kRules.size(); ++i) progress[i].left = policy.*kRules[i].count;
  const WallTime horizon = horizon_of(group, policy, now);
  for (std::size_t position = 0; position < group.size(); ++position) {
    RetentionChoice& choice = group[position];
    if (!policy.within.empty() && choice.item.created > horizon) choice.reasons.emplace_back("within");
    const bool is_oldest = position + 1 == group.size();
    for (std::size_t i = 0; i < kRules.size(); ++i) {
      Progress& rule = progress[i];
      if (rule.left == 0) continue;
      const std::int64_t period = kRules[i].period(choice.item.created, position);
      const bool is_new = rule.last_period != period;
      if (!is_new && !is_oldest) continue;
      choice.reasons.emplace_back(is_new ? kRules[i].name : kRules[i].oldest);
      rule.last_period = period;
      if (rule.left > 0) --rule.left;
    }
  }
}

Error bad_span(std::string_view text) {
  return make_error(ErrorCode::kInvalidArgument, "'" + printable(text) + "' is no span of time to keep checkpoints for",
                    "write years, months, days, hours, as in 1y6m, 14d or 2d12h; m is months");
}

}  // namespace

bool RetentionPolicy::empty() const {
  return within.empty() && std::ranges::all_of(kRules, [this](const Rule& rule) { return this->*rule.count == 0; });
}

Result<CalendarSpan> parse_calendar_span(std::string_view text) {
  CalendarSpan span;
  constexpr std::string_view kUnits = "ymdh";
  const std::array<int*, 4> parts{&span.years, &span.months, &span.days, &span.hours};
  std::size_t next = 0;
  int number = -1;
  for (const char c : text) {
    if (c >= '0' && c <= '9') {
      number = std::max(number, 0) * 10 + (c - '0');
      if (number > kMaxPart) return bad_span(text);
      continue;
    }
    const std::size_t unit = kUnits.find(c);
    if (unit == std::string_view::npos || unit < next || number < 0) return bad_span(text);
    *parts.at(unit) = number;
    next = unit + 1;
    number = -1;
  }
  if (number >= 0 || span.empty()) return bad_span(text);
  return span;
}

WallTime before(WallTime time, const CalendarSpan& span) {
  const auto date = date_of(time);
  const auto time_of_day = time - std::chrono::floor<std::chrono::days>(time);
  const auto month = std::chrono::year_month(date.year(), date.month()) - std::chrono::years(span.years) -
                     std::chrono::months(span.months);
  const Days first = month / 1;
  const auto day_of_month = std::chrono::days(static_cast<unsigned>(date.day()) - 1U);
  return first + day_of_month - std::chrono::days(span.days) + time_of_day - std::chrono::hours(span.hours);
}

Result<std::vector<RetentionChoice>> apply_retention(std::vector<RetentionItem> items, const RetentionPolicy& policy,
                                                     WallTime now) {
  const std::string doing = "choose which checkpoints to keep";
  if (policy.empty()) {
    return make_error(ErrorCode::kInvalidArgument, doing + ": no rule says what to keep",
                      "say it, as with --keep-last 3");
  }
  for (const Rule& rule : kRules) {
    if (policy.*rule.count < RetentionPolicy::kUnlimited) {
      return make_error(ErrorCode::kInvalidArgument, doing + ": '" + rule.name + "' cannot keep a negative number",
                        "write a number from 0, or unlimited");
    }
  }
  std::ranges::sort(items, [](const RetentionItem& one, const RetentionItem& other) {
    return std::tie(one.application, other.created, other.id) < std::tie(other.application, one.created, one.id);
  });
  std::vector<RetentionChoice> choices;
  choices.reserve(items.size());
  for (RetentionItem& item : items) choices.push_back({.item = std::move(item), .reasons = {}});
  for (auto first = choices.begin(); first != choices.end();) {
    const auto end = std::find_if(first, choices.end(), [&](const RetentionChoice& choice) {
      return choice.item.application != first->item.application;
    });
    choose_of_one({first, end}, policy, now);
    first = end;
  }
  return choices;
}

}  // namespace cacs::repository
