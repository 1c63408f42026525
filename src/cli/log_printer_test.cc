#include "cli/log_printer.h"

#include <gtest/gtest.h>

#include <random>

namespace cacs::cli {
namespace {

struct Printed {
  std::string text;
  LogPrinter printer{[this](std::string_view bytes) { text += bytes; }};
};

TEST(LogPrinter, PassesBytesThroughUnchanged) {
  Printed p;
  const std::string bytes("a\0\x1b[31m\xff\r\n", 9);
  p.printer.output(0, bytes);
  EXPECT_EQ(p.text, bytes);
  EXPECT_EQ(p.printer.position(), bytes.size());
}

TEST(LogPrinter, SameOutputAfterARollbackIsNotPrintedAgain) {
  Printed p;
  p.printer.output(0, "one\ntwo\nthr");
  EXPECT_EQ(p.printer.rollback(4), 7U);
  p.printer.output(4, "tw");
  p.printer.output(6, "o\nthree\n");
  p.printer.output(14, "four\n");
  EXPECT_EQ(p.text, "one\ntwo\nthree\nfour\n");
}

TEST(LogPrinter, ALineThatDiffersIsPrintedWhole) {
  Printed p;
  p.printer.output(0, "one\ntime 17\nthree\n");
  p.printer.rollback(4);
  p.printer.output(4, "time 1");
  p.printer.output(10, "8\nmore\n");
  EXPECT_EQ(p.text, "one\ntime 17\nthree\ntime 18\nmore\n");
  // The memory is of the file as it is now: a second rollback compares with the second attempt.
  p.printer.rollback(4);
  p.printer.output(4, "time 18\nmore\nend\n");
  EXPECT_EQ(p.text, "one\ntime 17\nthree\ntime 18\nmore\nend\n");
}

TEST(LogPrinter, AHalfPrintedLineIsEndedBeforeItsOtherForm) {
  Printed p;
  p.printer.output(0, "one\nhal");
  p.printer.rollback(0);
  p.printer.output(0, "ONE\n");
  EXPECT_EQ(p.text, "one\nhal\nONE\n");
}

TEST(LogPrinter, ASecondRollbackInTheMiddleOfTheFirst) {
  Printed p;
  p.printer.output(0, "a\nb\nc\nd\n");
  p.printer.rollback(2);
  p.printer.output(2, "b\n");
  EXPECT_EQ(p.printer.rollback(0), 8U);
  p.printer.output(0, "a\nb\nc\nd\ne\n");
  EXPECT_EQ(p.text, "a\nb\nc\nd\ne\n");
}

TEST(LogPrinter, AfterReconnectingReadsFromTheStartWithoutRepeating) {
  Printed p;
  p.printer.output(0, "a\nb\n");
  p.printer.output(0, "a\n");
  p.printer.output(2, "b\nc\n");
  EXPECT_EQ(p.text, "a\nb\nc\n");
}

TEST(LogPrinter, BeyondItsMemoryEverythingIsPrintedAgain) {
  std::string text;
  LogPrinter printer([&text](std::string_view bytes) { text += bytes; }, 8);
  printer.output(0, "0\n1\n2\n3\n4\n5\n");
  EXPECT_EQ(printer.rollback(0), 12U);
  printer.output(0, "0\n1\n");
  EXPECT_EQ(text, "0\n1\n2\n3\n4\n5\n0\n1\n");
}

/// What a reader of all lines sees last of each is the file, and a program that repeats itself exactly is seen once.
TEST(LogPrinter, ADeterministicProgramIsSeenExactlyOnceOverRandomRollbacks) {
  std::mt19937_64 random(20261120);
  for (int round = 0; round < 300; ++round) {
    std::string file;
    for (int i = 0; i < 40; ++i) file += "line " + std::to_string(i) + "\n";
    Printed p;
    std::uint64_t at = 0;
    while (at < file.size()) {
      const std::uint64_t length = 1 + random() % 40;
      p.printer.output(at, std::string_view(file).substr(at, length));
      at = std::min<std::uint64_t>(file.size(), at + length);
      if (random() % 5 == 0) {
        at = random() % (at + 1);
        p.printer.rollback(at);
      }
    }
    ASSERT_EQ(p.text, file) << round;
  }
}

}  // namespace
}  // namespace cacs::cli
