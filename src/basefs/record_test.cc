#include "basefs/record.h"

#include <gtest/gtest.h>

namespace cacs::basefs {
namespace {

Entry an_entry(const std::string& path) {
  Entry entry;
  entry.path = path;
  entry.opened = true;
  entry.saved = true;
  entry.stamp = {7, 8, 9, -10, 11};
  entry.mode = 0644;
  entry.uid = 1000;
  entry.digest = std::string(64, 'a');
  entry.token = "t:9";
  entry.problem = "was 100% odd";
  return entry;
}

TEST(Record, ComesBackAsItWas) {
  Record record;
  for (const char* path : {"/a", "/usr/lib/name with blanks", "/-", "/\xc3\xa9\n%41"}) {
    record.entries[path] = an_entry(path);
  }
  Entry link;
  link.path = "/l";
  link.link = true;
  link.target = "-";
  record.entries["/l"] = link;
  record.warnings = {"left out: much"};
  const auto again = parse_record(serialise(record));
  ASSERT_TRUE(again.ok()) << again.error().to_string();
  EXPECT_EQ(serialise(*again), serialise(record));
  EXPECT_EQ(again->warnings, record.warnings);
  EXPECT_EQ(again->entries.at("/l").target, "-");
  const Entry& entry = again->entries.at("/\xc3\xa9\n%41");
  EXPECT_EQ(entry.stamp, an_entry("/x").stamp);
  EXPECT_EQ(entry.problem, "was 100% odd");
  EXPECT_TRUE(entry.opened && entry.saved);
}

TEST(Record, InAJournalTheLaterLineCountsAndATornOneDoesNot) {
  Entry entry = an_entry("/a");
  std::string text = record_header() + entry_line(entry);
  entry.uid = 5;
  text += entry_line(entry) + "F /half a li";
  const auto record = parse_record(text, true);
  ASSERT_TRUE(record.ok()) << record.error().to_string();
  ASSERT_EQ(record->entries.size(), 1U);
  EXPECT_EQ(record->entries.at("/a").uid, 5U);
  EXPECT_EQ(parse_record(text, false).error().code, ErrorCode::kCorrupt);
}

TEST(Record, RefusesWhatNoWriterWrote) {
  const std::string line = entry_line(an_entry("/a"));
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = line;
    changed.replace(changed.find(from), from.size(), to);
    return parse_record(record_header() + changed);
  };
  ASSERT_TRUE(replaced(" /a ", " /b ").ok());
  for (const char* path : {" /a/../b ", " a ", " / ", " /a/ ", " //a ", " /%0 ", " /%zz "}) {
    EXPECT_FALSE(replaced(" /a ", path).ok()) << path;
  }
  EXPECT_FALSE(replaced(" os ", " ox ").ok());
  EXPECT_FALSE(replaced(" 7 ", " -7 ").ok());
  EXPECT_FALSE(replaced(" 420 ", " 99999 ").ok());
  EXPECT_FALSE(replaced("aaaa", "aaa").ok());
  EXPECT_FALSE(replaced("F ", "X ").ok());
  EXPECT_FALSE(parse_record("").ok());
  EXPECT_FALSE(parse_record("something else\n").ok());
  EXPECT_EQ(parse_record("cacs-base-record 3 2\n").error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(parse_record("cacs-base-record 3 1\n").ok());
}

}  // namespace
}  // namespace cacs::basefs
