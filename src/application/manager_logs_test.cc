// Readers of the output against the manager with a real database and a node in memory: whatever becomes of pods, node
// and server, who applies the chunks in order has what the log holds.

#include <random>
#include <thread>

#include "application/manager_fixture.h"

namespace cacs::application {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Applies chunks; a byte that is lost or comes twice is a failure.
struct Reader {
  std::vector<LogPosition> positions{{.stream = "stdout"}, {.stream = "stderr"}};
  std::map<std::string, std::string> has;
  int rollbacks = 0;
  bool ended = false;

  void read(Manager& manager, const std::string& id, milliseconds wait, std::size_t limit = 7) {
    const auto chunks = manager.logs({}, id, "", positions, limit, wait);
    if (!chunks.ok()) {
      EXPECT_EQ(chunks.error().code, ErrorCode::kUnavailable) << chunks.error().to_string();
      return;
    }
    ASSERT_EQ(chunks->size(), positions.size());
    ended = true;
    for (std::size_t i = 0; i < positions.size(); ++i) take(positions[i], chunks->at(i));
  }
  void take(LogPosition& position, const LogChunk& chunk) {
    ASSERT_EQ(chunk.stream, position.stream);
    std::string& copy = has[chunk.stream];
    ended = ended && chunk.end;
    if (chunk.rollback) {
      ++rollbacks;
      ASSERT_LT(chunk.offset, copy.size());
      copy.resize(chunk.offset);
    }
    ASSERT_EQ(chunk.offset, copy.size());
    copy += chunk.data;
    if (chunk.incarnation != 0) position.incarnation = chunk.incarnation;
    position.offset = copy.size();
  }
};

class ManagerLogsTest : public ManagerFixture {
 protected:
  void submit(milliseconds time_limit = {}) {
    Asr asr;
    asr.name = "test";
    asr.command = {"program"};
    asr.recovery_max_attempts = 1'000;
    asr.time_limit = time_limit;
    id_ = manager_->submit({}, asr).value().id;
  }
  bool wait_state(const std::string& wanted, int incarnation = 0) {
    return ManagerFixture::wait_state(id_, wanted, incarnation);
  }
  [[nodiscard]] int incarnation() { return (*manager_->get({}, id_).value()).incarnation; }
  std::string checkpoint() {
    const auto started = manager_->take_checkpoint({}, id_);
    EXPECT_TRUE(started.ok());
    EXPECT_TRUE(wait_until([&] { return manager_->get_operation({}, started->operation)->state != "RUNNING"; }));
    return started->id;
  }
  /// From this checkpoint, or where it is empty after a crash from the newest.
  void restart(const std::string& from) {
    const int before = incarnation();
    if (from.empty()) {
      node().exit_pod(uid(), "signaled", 9);
    } else {
      ASSERT_TRUE(manager_->restart({}, id_, from, {}).ok());
    }
    ASSERT_TRUE(wait_state("RUNNING", before + 1));
  }
  void print(const std::string& text, const std::string& stream = "stdout") { node().print(uid(), stream, text); }
  [[nodiscard]] std::string uid() const { return ManagerFixture::uid(id_); }
  /// Reads to the end of what there is, and compares.
  void expect_whole(Reader& reader) {
    const auto pod = node().pod(uid());
    ASSERT_TRUE(pod.has_value());
    FakeNode::Output output = pod->output;
    for (int i = 0; i < 1'000 && reader.has != output; ++i) {
      reader.read(*manager_, id_, milliseconds(0));
      if (HasFatalFailure()) return;
    }
    EXPECT_EQ(reader.has["stdout"], output["stdout"]);
    EXPECT_EQ(reader.has["stderr"], output["stderr"]);
  }

  std::string id_;
};

TEST_F(ManagerLogsTest, ARollbackIsToldAfterARestartOfTheServerAndOfThePod) {
  submit();
  ASSERT_TRUE(wait_state("RUNNING"));
  Reader reader;
  print("one\n");
  print("warning\n", "stderr");
  checkpoint();
  print("two\n");
  expect_whole(reader);
  restart("");
  print("TWO, and much more than before\n");
  restart("");  // and again: the incarnation in between has left nothing but its place in the lineage
  print("2, and more than the reader had\n");
  stop();
  start();
  ASSERT_TRUE(wait_state("RUNNING", 3));
  expect_whole(reader);
  EXPECT_EQ(reader.rollbacks, 1) << "standard error has not gone back behind the reader";
}

TEST_F(ManagerLogsTest, AnEndedApplicationsOutputStaysAndASuspendedOnesIsThatOfItsCheckpoint) {
  submit(milliseconds(1'200));
  ASSERT_TRUE(wait_state("RUNNING"));
  Reader reader;
  print("one\n");
  ASSERT_TRUE(wait_state("SUSPENDED"));
  ASSERT_TRUE(wait_until([&] { return node().pods() == 0; }));
  for (int i = 0; i < 10 && !reader.ended; ++i) reader.read(*manager_, id_, milliseconds(100));
  EXPECT_TRUE(reader.ended);
  EXPECT_EQ(reader.has["stdout"], "one\n");
  submit();
  ASSERT_TRUE(wait_state("RUNNING"));
  print("two\n");
  node().exit_pod(uid(), "exited", 0);
  ASSERT_TRUE(wait_state("COMPLETED"));
  stop();
  start();
  Reader late;
  for (int i = 0; i < 10 && !late.ended; ++i) late.read(*manager_, id_, milliseconds(100));
  EXPECT_TRUE(late.ended);
  EXPECT_EQ(late.has["stdout"], "two\n");
}

TEST_F(ManagerLogsTest, WhatCannotBeReadIsSaid) {
  submit();
  ASSERT_TRUE(wait_state("RUNNING"));
  EXPECT_EQ(manager_->logs({}, id_, "pod-7", {{.stream = "stdout"}}, 9, {}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(manager_->logs({}, id_, "", {{.stream = "stdin"}}, 9, {}).error().code, ErrorCode::kInvalidArgument);
  node().set_reachable(false);
  EXPECT_EQ(manager_->logs({}, id_, "", {{.stream = "stdout"}}, 9, {}).error().code, ErrorCode::kUnavailable);
  const auto waited = manager_->logs({}, id_, "", {{.stream = "stdout"}}, 9, milliseconds(20));
  ASSERT_TRUE(waited.ok());
  EXPECT_FALSE(waited->front().end);
  node().set_reachable(true);
}

/// Readers that come and go over restores from any checkpoint, starts of the server and of the node.
TEST_F(ManagerLogsTest, ReadersThatComeAndGoEndWithWhatThereIs) {
  std::mt19937_64 random(20261120);
  submit();
  ASSERT_TRUE(wait_state("RUNNING"));
  std::vector<Reader> readers(4);
  std::vector<std::string> checkpoints;
  int line = 0;
  for (int round = 0; round < 150; ++round) {
    const auto dice = random() % 20;
    if (dice < 8) {
      print("line " + std::to_string(++line) + "\n", random() % 3 == 0 ? "stderr" : "stdout");
    } else if (dice < 15) {
      Reader& reader = readers[random() % readers.size()];
      for (auto calls = random() % 6; calls > 0; --calls) reader.read(*manager_, id_, milliseconds(0));
    } else if (dice < 17) {
      checkpoints.push_back(checkpoint());
    } else if (dice < 19) {
      restart(checkpoints.empty() || random() % 2 == 0 ? "" : checkpoints[random() % checkpoints.size()]);
    } else if (random() % 3 == 0) {
      stop();
      start();
      ASSERT_TRUE(wait_state("RUNNING"));
    }
    if (HasFatalFailure()) return;
  }
  int rollbacks = 0;
  for (Reader& reader : readers) {
    expect_whole(reader);
    rollbacks += reader.rollbacks;
  }
  EXPECT_GT(rollbacks, 10);
}

/// The same with readers in threads of their own, which wait for what comes.
TEST_F(ManagerLogsTest, ReadersThatWaitSeeEverythingWhileItHappens) {
  submit();
  ASSERT_TRUE(wait_state("RUNNING"));
  std::vector<Reader> readers(3);
  std::vector<std::thread> threads;
  for (Reader& reader : readers) {
    threads.emplace_back([&] {
      const auto end = steady_clock::now() + std::chrono::seconds(60);
      while (!reader.ended && steady_clock::now() < end) reader.read(*manager_, id_, milliseconds(500), 64);
    });
  }
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 5; ++i)
      print(std::to_string(round) + "." + std::to_string(i) + "\n", i == 3 ? "stderr" : "stdout");
    if (round % 3 == 0) checkpoint();
    if (round % 4 == 2) restart("");
  }
  node().exit_pod(uid(), "exited", 0);
  for (auto& thread : threads) thread.join();
  const FakeNode::Output output = node().pod(uid())->output;
  for (Reader& reader : readers) {
    EXPECT_TRUE(reader.ended);
    EXPECT_EQ(reader.has, output);
  }
}

}  // namespace
}  // namespace cacs::application
