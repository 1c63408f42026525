// The shim's part of the cut of a pod that saves itself: no engine runs on it, its tasks only stand still while its
// files are captured.
//
//   none -> PREPARED  cut: freeze; cut_frozen and cut_prepared
//        -> none      thaw: cut_done; abort, deadline, or the agent's end: cut_aborted
//
// Whatever happens the tasks run again: a shim that adopts the pod thaws it before anything else (Shim::adopt).

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "base/io.h"
#include "base/log.h"
#include "base/time.h"
#include "pod/shim.h"

namespace cacs::pod {

namespace {

constexpr std::int64_t kFreezeLimitMs = 10'000;
constexpr std::int64_t kThawAgainMs = 1'000;

std::int64_t monotonic_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Status Shim::freeze_for_cut(const std::string& checkpoint, std::int64_t deadline_ms) {
  Cut cut;
  cut.checkpoint = checkpoint;
  cut.deadline = boottime_ms() + deadline_ms;
  CACS_TRY(
      write_file_durably(options_.layout.cut_state(), boost::json::serialize(JsonObject{{"checkpoint", checkpoint}})));
  const std::int64_t limit = std::clamp<std::int64_t>(deadline_ms, 1, kFreezeLimitMs);
  cut.frozen_at_us = monotonic_us();
  Status frozen = cgroup_->freeze(std::chrono::milliseconds(limit));
  cut.prepared_at_us = monotonic_us();
  cut.phase = CutPhase::kPrepared;
  cut_ = std::move(cut);
  if (frozen) frozen = check_application();
  if (!frozen) {
    cut_.checkpoint.clear();  // the agent hears of it by the answer
    end_freeze();
    return frozen;
  }
  emit({{"event", "cut_frozen"}, {"checkpoint", checkpoint}});
  emit({{"event", "cut_prepared"}, {"checkpoint", checkpoint}, {"timings", cut_timings()}});
  return {};
}

void Shim::end_freeze() {
  if (const Status thawed = cgroup_->thaw(); !thawed) {
    spdlog::error("the pod could not be thawed, which is tried again: {}", thawed.error().to_string());
    cut_.phase = CutPhase::kEnding;
    cut_.deadline = boottime_ms() + kThawAgainMs;
    return;
  }
  ::unlink(options_.layout.cut_state().c_str());
  const Cut cut = std::exchange(cut_, Cut{});
  if (cut.checkpoint.empty()) return;
  const std::int64_t now = monotonic_us();
  JsonObject event{{"event", cut.abort_wanted ? "cut_aborted" : "cut_done"},
                   {"checkpoint", cut.checkpoint},
                   {"timings", JsonObject{{"dump_ms", (cut.prepared_at_us - cut.frozen_at_us) / 1000},
                                          {"barrier_ms", (now - cut.prepared_at_us) / 1000},
                                          {"frozen_ms", (now - cut.frozen_at_us) / 1000}}}};
  if (cut.abort_reason) event["error"] = error_to_json(*cut.abort_reason);
  emit(event);
}

}  // namespace cacs::pod
