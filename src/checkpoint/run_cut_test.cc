#include "checkpoint/run_cut.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

namespace cacs::checkpoint {
namespace {

using namespace std::chrono_literals;

/// An agent in memory that behaves as docs/agent-api.md says of cuts, with switches for what goes wrong.
class FakeAgent final : public cloud::NodeAgent {
 public:
  explicit FakeAgent(std::string uid) : uid_(std::move(uid)) {}

  // What goes wrong; set before the run.
  std::optional<Error> begin_error;
  std::optional<Error> store_error;
  std::optional<Error> commit_error;
  int thaws_lost = 0;
  bool hang_in_begin = false;  ///< until aborted
  bool hang_in_store = false;  ///< until aborted
  std::function<void()> on_begin = [] {};

  std::string phase() {
    const std::scoped_lock lock(mutex_);
    return phase_;
  }
  bool frozen() {
    const std::scoped_lock lock(mutex_);
    return frozen_;
  }
  JsonObject commit_body;

  Result<JsonObject> begin_cut(std::string_view, std::string_view, const JsonObject&) override {
    on_begin();
    std::unique_lock lock(mutex_);
    if (begin_error) return *begin_error;
    frozen_ = true;
    phase_ = "DUMPING";
    if (hang_in_begin) changed_.wait(lock, [this] { return phase_ != "DUMPING"; });
    if (phase_ == "DUMPING") phase_ = "PREPARED";
    return cut();
  }
  Result<JsonObject> thaw(std::string_view, std::string_view, int) override {
    const std::scoped_lock lock(mutex_);
    if (thaws_lost > 0) {
      --thaws_lost;
      return make_error(ErrorCode::kUnavailable, "lost");
    }
    frozen_ = false;
    if (phase_ != "PREPARED") return make_error(ErrorCode::kConflict, "not prepared");
    phase_ = "STORING";
    return cut();
  }
  Result<JsonObject> abort_cut(std::string_view, std::string_view, int) override {
    const std::scoped_lock lock(mutex_);
    frozen_ = false;
    phase_ = "ABORTED";
    changed_.notify_all();
    return cut();
  }
  Result<JsonObject> get_cut(std::string_view, std::string_view, std::chrono::milliseconds wait) override {
    std::unique_lock lock(mutex_);
    if (phase_ == "STORING" && hang_in_store) {
      changed_.wait_for(lock, wait, [this] { return phase_ != "STORING"; });
      return cut();
    }
    if (phase_ == "STORING" && store_error) phase_ = "FAILED";
    JsonObject answer = cut();
    if (phase_ == "STORING") phase_ = "STORED";
    return answer;
  }
  Result<JsonObject> commit_checkpoint(std::string_view checkpoint, const JsonObject& body) override {
    if (commit_error) return *commit_error;
    commit_body = body;
    return JsonObject{{"checkpoint", checkpoint}};
  }

  Result<JsonObject> info() override { return none(); }
  Result<JsonObject> ask_to_save(std::string_view, std::string_view, const JsonObject&) override { return none(); }
  Result<JsonObject> events(std::uint64_t, std::string_view, std::chrono::milliseconds) override { return none(); }
  Result<JsonObject> list_pods() override { return none(); }
  Result<JsonObject> put_pod(std::string_view, const JsonObject&) override { return none(); }
  Result<JsonObject> get_pod(std::string_view) override { return none(); }
  Status delete_pod(std::string_view, int) override { return none(); }
  Result<JsonObject> list_checkpoints() override { return none(); }
  Result<JsonObject> get_checkpoint(std::string_view) override { return none(); }
  Result<JsonObject> verify_checkpoint(std::string_view) override { return none(); }
  Status delete_checkpoint(std::string_view) override { return none(); }
  Status open_network(std::string_view, int) override { return none(); }
  Status report_outcome(std::string_view, const JsonObject&) override { return none(); }
  Result<JsonObject> logs(std::string_view, const cloud::LogQuery&) override { return none(); }
  Result<JsonObject> checkpoint_logs(std::string_view, std::string_view, const cloud::LogQuery&) override {
    return none();
  }
  Result<JsonObject> exec(std::string_view, const JsonObject&) override { return none(); }
  Result<JsonObject> explain(std::string_view) override { return none(); }

 private:
  static Error none() { return make_error(ErrorCode::kUnsupported, "not a call of the cut"); }
  JsonObject cut() {
    JsonObject answer{{"uid", uid_}, {"phase", phase_}, {"bytes_done", 10}, {"bytes_total", 10}};
    if (phase_ == "STORED") answer["piece"] = "piece-of-" + uid_;
    if (phase_ == "FAILED") answer["error"] = error_to_json(*store_error);
    return answer;
  }

  std::string uid_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string phase_;
  bool frozen_ = false;
};

class RunCutTest : public ::testing::Test {
 protected:
  RunCutTest() {
    for (const char* uid : {"app.pod-0", "app.pod-1", "app.pod-2"}) {
      agents_.push_back(std::make_unique<FakeAgent>(uid));
      request_.pods.push_back({.uid = uid, .agent = agents_.back().get()});
    }
    request_.application = "app";
    request_.checkpoint = "cp";
    listener_.phase = [this](CutPhase phase) { phases_.push_back(phase); };
    listener_.progress = [this](std::uint64_t done, std::uint64_t) { most_done_ = std::max(most_done_, done); };
  }
  Result<JsonObject> run() { return run_cut(request_, control_, listener_); }
  void expect_all_run_on() {
    for (const auto& agent : agents_) EXPECT_FALSE(agent->frozen());
  }

  std::vector<std::unique_ptr<FakeAgent>> agents_;
  CutRequest request_;
  CutControl control_;
  CutListener listener_;
  std::vector<CutPhase> phases_;
  std::uint64_t most_done_ = 0;
};

TEST_F(RunCutTest, CommitsThePiecesOfAllPods) {
  const auto checkpoint = run();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
  EXPECT_EQ(json_string_or(*checkpoint, "checkpoint", ""), "cp");
  const JsonArray* pods = json_find_array(agents_.front()->commit_body, "pods");
  ASSERT_NE(pods, nullptr);
  ASSERT_EQ(pods->size(), 3U);
  EXPECT_EQ(pods->at(2), (Json{{"uid", "app.pod-2"}, {"piece", "piece-of-app.pod-2"}}));
  EXPECT_EQ(phases_, (std::vector{CutPhase::kPreparing, CutPhase::kThawing, CutPhase::kStoring, CutPhase::kCommitting,
                                  CutPhase::kCommitted}));
  EXPECT_EQ(most_done_, 30U);
  expect_all_run_on();
}

TEST_F(RunCutTest, OnePodsFailureAbortsAll) {
  agents_[1]->begin_error = make_error(ErrorCode::kUnsupported, "io_uring is in use");
  const auto checkpoint = run();
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(checkpoint.error().message, ::testing::HasSubstr("app.pod-1"));
  EXPECT_THAT(checkpoint.error().message, ::testing::HasSubstr("io_uring is in use"));
  for (const auto& agent : agents_) EXPECT_EQ(agent->phase(), "ABORTED");
  expect_all_run_on();
}

TEST_F(RunCutTest, ALostThawIsRepeated) {
  agents_[2]->thaws_lost = 2;
  const auto checkpoint = run();
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.error().to_string();
}

TEST_F(RunCutTest, FailedStoringHarmsNobody) {
  agents_[0]->store_error = make_error(ErrorCode::kNoSpace, "disk full");
  const auto checkpoint = run();
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.error().code, ErrorCode::kNoSpace);
  expect_all_run_on();
}

TEST_F(RunCutTest, ALostCommitIsSaidToBeUnknown) {
  agents_[0]->commit_error = make_error(ErrorCode::kUnavailable, "gone");
  const auto checkpoint = run();
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.error().type, "commit-unknown");
  EXPECT_EQ(agents_[1]->phase(), "STORED") << "an abort could take away what a manifest names";
}

TEST_F(RunCutTest, CancelReachesPodsThatHang) {
  agents_[1]->hang_in_begin = true;
  agents_[1]->on_begin = [this] { control_.cancel("not wanted"); };
  const auto checkpoint = run();
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.error().code, ErrorCode::kAborted);
  expect_all_run_on();
}

TEST_F(RunCutTest, ADeadPodIsNotWaitedFor) {
  agents_[1]->hang_in_begin = true;
  agents_[1]->on_begin = [this] { control_.pod_died("app.pod-2"); };
  const auto checkpoint = run();
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_THAT(checkpoint.error().message, ::testing::HasSubstr("app.pod-2"));
  expect_all_run_on();
}

TEST_F(RunCutTest, ThePhasesHaveTimeLimits) {
  request_.prepare_limit = 20ms;
  agents_[0]->hang_in_begin = true;
  auto checkpoint = run();
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.error().code, ErrorCode::kTimeout);
  expect_all_run_on();
}

TEST_F(RunCutTest, StoringHasATimeLimit) {
  request_.store_limit = 20ms;
  agents_[0]->hang_in_store = true;
  const auto checkpoint = run();
  ASSERT_FALSE(checkpoint.ok());
  EXPECT_EQ(checkpoint.error().code, ErrorCode::kTimeout);
  expect_all_run_on();
}

TEST(RunCutBoundsTest, NoPodsIsAnError) {
  CutControl control;
  EXPECT_FALSE(run_cut({}, control).ok());
}

}  // namespace
}  // namespace cacs::checkpoint
