#include "repository/retention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "base/uuid.h"

namespace cacs::repository {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

WallTime at(int year, unsigned month, unsigned day, int hour = 0, int minute = 0) {
  return std::chrono::sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day)) +
         hours(hour) + minutes(minute);
}

const WallTime kNow = at(2030, 1, 1);

RetentionItem item(WallTime created, const std::string& application = "a") {
  return {.application = application, .id = format_time(created), .created = created};
}

/// "reason+reason" of each checkpoint that is kept, by its time.
std::map<WallTime, std::string> kept_of(const std::vector<WallTime>& times, const RetentionPolicy& policy,
                                        WallTime now = kNow) {
  std::vector<RetentionItem> items;
  for (const WallTime time : times) items.push_back(item(time));
  const auto choices = apply_retention(items, policy, now);
  EXPECT_TRUE(choices.ok()) << choices.error().to_string();
  std::map<WallTime, std::string> kept;
  if (!choices) return kept;
  EXPECT_EQ(choices->size(), times.size());
  for (const auto& choice : *choices) {
    std::string reasons;
    for (const auto& reason : choice.reasons) reasons += (reasons.empty() ? "" : "+") + reason;
    if (choice.keep()) kept[choice.item.created] = reasons;
  }
  return kept;
}

using Kept = std::map<WallTime, std::string>;

TEST(Retention, EachRuleKeepsTheNewestOfItsLastPeriods) {
  const std::vector<WallTime> times{at(2026, 11, 20, 10, 5),  at(2026, 11, 20, 10, 50), at(2026, 11, 20, 12, 0),
                                    at(2026, 11, 19, 23, 59), at(2026, 11, 17, 0, 0),   at(2026, 9, 30, 1, 0),
                                    at(2024, 2, 29, 0, 0)};
  EXPECT_EQ(kept_of(times, {.last = 2}), (Kept{{times[2], "last"}, {times[1], "last"}}));
  EXPECT_EQ(kept_of(times, {.hourly = 2}), (Kept{{times[2], "hourly"}, {times[1], "hourly"}}));
  EXPECT_EQ(kept_of(times, {.daily = 3}), (Kept{{times[2], "daily"}, {times[3], "daily"}, {times[4], "daily"}}));
  EXPECT_EQ(kept_of(times, {.monthly = 2}), (Kept{{times[2], "monthly"}, {times[5], "monthly"}}));
  EXPECT_EQ(kept_of(times, {.yearly = 5}), (Kept{{times[2], "yearly"}, {times[6], "yearly"}}));
  EXPECT_EQ(kept_of(times, {.last = 1, .daily = 2}), (Kept{{times[2], "last+daily"}, {times[3], "daily"}}));
}

TEST(Retention, TheOldestFillsUpARuleThatHasNumbersLeft) {
  const std::vector<WallTime> times{at(2026, 11, 20, 12), at(2026, 11, 20, 11), at(2026, 11, 20, 10)};
  EXPECT_EQ(kept_of(times, {.daily = 2}), (Kept{{times[0], "daily"}, {times[2], "oldest daily"}}));
  EXPECT_EQ(kept_of(times, {.daily = 1}), (Kept{{times[0], "daily"}}));
  EXPECT_EQ(kept_of(times, {.yearly = RetentionPolicy::kUnlimited}),
            (Kept{{times[0], "yearly"}, {times[2], "oldest yearly"}}));
}

TEST(Retention, WeeksAreThoseOfIso8601) {
  // 2020 has a week 53, which ends on Sunday, January 3rd 2021.
  const std::vector<WallTime> times{at(2021, 1, 4), at(2021, 1, 3, 23), at(2020, 12, 28), at(2020, 12, 27, 23)};
  EXPECT_EQ(kept_of(times, {.weekly = 2}), (Kept{{times[0], "weekly"}, {times[1], "weekly"}}));
  EXPECT_EQ(kept_of(times, {.weekly = 3}), (Kept{{times[0], "weekly"}, {times[1], "weekly"}, {times[3], "weekly"}}));
  // Before 1970 too: clocks have been seen there.
  EXPECT_EQ(kept_of({at(1969, 12, 29), at(1969, 12, 28, 23), at(1969, 12, 22)}, {.weekly = 2}),
            (Kept{{at(1969, 12, 29), "weekly"}, {at(1969, 12, 28, 23), "weekly"}}));
}

TEST(Retention, WithinCountsFromTheNewestThatIsNotOfTheFuture) {
  const std::vector<WallTime> times{at(2020, 3, 31, 12), at(2020, 3, 2, 12), at(2020, 3, 2, 11)};
  EXPECT_EQ(kept_of(times, {.within = {.months = 1}}), (Kept{{times[0], "within"}}));
  EXPECT_EQ(kept_of(times, {.within = {.months = 1, .hours = 1}}), (Kept{{times[0], "within"}, {times[1], "within"}}));
  // Of the future, as seen by this machine's clock.
  EXPECT_EQ(kept_of(times, {.within = {.hours = 1}}, at(2020, 3, 15)),
            (Kept{{times[0], "within"}, {times[1], "within"}}));
  EXPECT_EQ(kept_of(times, {.within = {.hours = 1}}, at(2019, 1, 1)).size(), 3U);
}

TEST(Retention, CalendarArithmeticKnowsLeapYears) {
  EXPECT_EQ(before(at(2024, 3, 31, 5), {.months = 1}), at(2024, 3, 2, 5));
  EXPECT_EQ(before(at(2023, 3, 31, 5), {.months = 1}), at(2023, 3, 3, 5));
  EXPECT_EQ(before(at(2024, 2, 29), {.years = 1}), at(2023, 3, 1));
  EXPECT_EQ(before(at(2024, 3, 1), {.days = 1}), at(2024, 2, 29));
  EXPECT_EQ(before(at(2024, 1, 1), {.months = 13, .hours = 1}), at(2022, 11, 30, 23));
}

TEST(Retention, SpansOfTimeAreReadStrictly) {
  EXPECT_EQ(parse_calendar_span("1y2m3d4h").value(), (CalendarSpan{.years = 1, .months = 2, .days = 3, .hours = 4}));
  EXPECT_EQ(parse_calendar_span("14d").value(), (CalendarSpan{.days = 14}));
  for (const char* text : {"", "7", "d", "7w", "1d1d", "1h2d", "0d", "-1d", "10000d", "99999999999999999999d", "7d "}) {
    const auto span = parse_calendar_span(text);
    ASSERT_FALSE(span.ok()) << text;
    EXPECT_EQ(span.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Retention, APolicyThatSaysNothingIsRefused) {
  for (const RetentionPolicy& policy : {RetentionPolicy{}, RetentionPolicy{.last = 1, .daily = -2}}) {
    const auto choices = apply_retention({item(at(2026, 1, 1))}, policy, kNow);
    ASSERT_FALSE(choices.ok());
    EXPECT_EQ(choices.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(apply_retention({}, {.last = 1}, kNow).value().empty());
}

TEST(Retention, ApplicationsAreJudgedByThemselves) {
  const auto choices = apply_retention(
      {item(at(2026, 1, 2), "b"), item(at(2026, 1, 1), "a"), item(at(2020, 1, 1), "a")}, {.last = 1}, kNow);
  ASSERT_TRUE(choices.ok());
  ASSERT_EQ(choices->size(), 3U);
  EXPECT_EQ((*choices)[0].item.application, "a");
  EXPECT_TRUE((*choices)[0].keep());
  EXPECT_FALSE((*choices)[1].keep());
  EXPECT_TRUE((*choices)[2].keep());
}

/// Year and number of the ISO week, by the day of the year: another way than the code's.
std::pair<int, int> iso_week(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const unsigned weekday = std::chrono::weekday(day).iso_encoding();
  const auto thursday = day + std::chrono::days(4 - static_cast<int>(weekday));
  const auto year = std::chrono::year_month_day(thursday).year();
  return {static_cast<int>(year), static_cast<int>((thursday - std::chrono::sys_days(year / 1 / 1)).count() / 7)};
}

std::string period_text(const std::string& rule, WallTime time, std::size_t position) {
  const std::string text = format_time(time);  // 2026-11-20T19:41:07.123Z
  if (rule == "last") return std::to_string(position);
  if (rule == "hourly") return text.substr(0, 13);
  if (rule == "daily") return text.substr(0, 10);
  if (rule == "monthly") return text.substr(0, 7);
  if (rule == "yearly") return text.substr(0, 4);
  const auto [year, week] = iso_week(time);
  return std::to_string(year) + "w" + std::to_string(week);
}

/// Which of `times` (newest first) a rule keeps, said otherwise: the first of each of the first `count` distinct
/// periods, and the last of all if there were fewer periods than `count`.
std::set<std::size_t> reference(const std::vector<WallTime>& times, const std::string& rule, std::int64_t count) {
  std::set<std::string> seen;
  std::set<std::size_t> kept;
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (count >= 0 && static_cast<std::int64_t>(kept.size()) == count) return kept;
    if (seen.insert(period_text(rule, times[i], i)).second) kept.insert(i);
  }
  const bool room = count < 0 || static_cast<std::int64_t>(kept.size()) < count;
  if (room && !times.empty()) kept.insert(times.size() - 1);
  return kept;
}

struct RandomCase {
  std::vector<RetentionItem> items;
  RetentionPolicy policy;
};

RandomCase random_case(std::mt19937_64& random) {
  const auto up_to = [&](std::uint64_t bound) { return static_cast<std::int64_t>(random() % (bound + 1)); };
  RandomCase made;
  // From minutes to years apart, around ends of years; sometimes at the very same time.
  const std::array<std::int64_t, 4> spans{90, 60 * 24 * 3, 60 * 24 * 40, std::int64_t{60} * 24 * 1500};
  const std::int64_t span = spans.at(random() % spans.size());
  for (std::int64_t i = up_to(40); i >= 0; --i) {
    const WallTime created = at(2021, 1, 5) - minutes(up_to(static_cast<std::uint64_t>(span)));
    made.items.push_back(
        {.application = std::string(1, static_cast<char>('a' + up_to(2))), .id = new_uuid(), .created = created});
  }
  for (auto count : {&RetentionPolicy::last, &RetentionPolicy::hourly, &RetentionPolicy::daily,
                     &RetentionPolicy::weekly, &RetentionPolicy::monthly, &RetentionPolicy::yearly}) {
    if (random() % 2 == 0) made.policy.*count = up_to(6) - 1;
  }
  if (random() % 3 == 0) made.policy.within = {.days = static_cast<int>(up_to(30)), .hours = 1};
  if (made.policy.empty()) made.policy.last = 1;
  return made;
}

TEST(Retention, AgreesWithASlowReference) {
  const std::map<std::string, std::int64_t RetentionPolicy::*> rules{
      {"last", &RetentionPolicy::last},       {"hourly", &RetentionPolicy::hourly},
      {"daily", &RetentionPolicy::daily},     {"weekly", &RetentionPolicy::weekly},
      {"monthly", &RetentionPolicy::monthly}, {"yearly", &RetentionPolicy::yearly}};
  std::mt19937_64 random(7);
  for (int round = 0; round < 500; ++round) {
    const RandomCase made = random_case(random);
    const auto choices = apply_retention(made.items, made.policy, kNow);
    ASSERT_TRUE(choices.ok());
    std::map<std::string, std::vector<const RetentionChoice*>> groups;
    for (const auto& choice : *choices) groups[choice.item.application].push_back(&choice);
    for (const auto& [application, group] : groups) {
      std::vector<WallTime> times;
      for (const auto* choice : group) times.push_back(choice->item.created);
      ASSERT_TRUE(std::ranges::is_sorted(times, std::ranges::greater())) << round;
      std::vector<std::set<std::string>> wanted(group.size());
      for (const auto& [name, count] : rules) {
        for (const std::size_t i : reference(times, name, made.policy.*count)) wanted[i].insert(name);
      }
      const auto& within = made.policy.within;
      for (std::size_t i = 0; i < times.size() && !within.empty(); ++i) {
        if (times[i] > times[0] - hours(24 * within.days + within.hours)) wanted[i].insert("within");
      }
      for (std::size_t i = 0; i < group.size(); ++i) {
        std::set<std::string> got;
        for (const auto& reason : group[i]->reasons) {
          got.insert(reason.starts_with("oldest ") ? reason.substr(7) : reason);
        }
        ASSERT_EQ(got, wanted[i]) << "round " << round << ", checkpoint " << i << " of " << application;
      }
      ASSERT_TRUE(group.front()->keep()) << "the newest goes in round " << round;
    }
  }
}

TEST(Retention, TheOrderOfTheInputDoesNotMatter) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 100; ++round) {
    RandomCase made = random_case(random);
    const auto ids = [&] {
      std::vector<std::pair<std::string, std::vector<std::string>>> all;
      const auto chosen = apply_retention(made.items, made.policy, kNow);
      for (const auto& choice : chosen.value()) {
        all.emplace_back(choice.item.id, choice.reasons);
      }
      return all;
    };
    const auto first = ids();
    std::ranges::shuffle(made.items, random);
    ASSERT_EQ(first, ids()) << round;
  }
}

}  // namespace
}  // namespace cacs::repository
