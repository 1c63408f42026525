#include "application/log_lineage.h"

#include <algorithm>
#include <utility>

namespace cacs::application {

std::string_view output_stream_name(OutputStream stream) {
  return stream == OutputStream::kStdout ? "stdout" : "stderr";
}

std::optional<OutputStream> output_stream_from(std::string_view name) {
  if (name == "stdout") return OutputStream::kStdout;
  if (name == "stderr") return OutputStream::kStderr;
  return std::nullopt;
}

const LogLineage::Run* LogLineage::find(int incarnation) const {
  const auto found = std::lower_bound(runs_.begin(), runs_.end(), incarnation,
                                      [](const Run& run, int wanted) { return run.incarnation < wanted; });
  return found == runs_.end() || found->incarnation != incarnation ? nullptr : &*found;
}

void LogLineage::begin(int incarnation, int parent, int pods) {
  if (!runs_.empty() && runs_.back().incarnation >= incarnation) return;
  Run run{.incarnation = incarnation, .parent = parent < incarnation ? std::max(parent, 0) : 0, .bases = {}};
  run.bases.resize(static_cast<std::size_t>(std::max(pods, 0)));
  runs_.push_back(std::move(run));
  if (runs_.size() > kMaxRuns) runs_.erase(runs_.begin());
}

bool LogLineage::learn(int incarnation, int pod, const LogSizes& base) {
  const Run* found = find(incarnation);
  if (found == nullptr || pod < 0 || static_cast<std::size_t>(pod) >= found->bases.size()) return false;
  Run& run = runs_[static_cast<std::size_t>(found - runs_.data())];
  auto& known = run.bases[static_cast<std::size_t>(pod)];
  if (known) return false;
  // Without a parent there is nothing to have in common with anyone.
  known = run.parent == 0 ? LogSizes{} : base;
  return true;
}

bool LogLineage::knows(int incarnation, int pod) const {
  const Run* run = find(incarnation);
  return run != nullptr && pod >= 0 && static_cast<std::size_t>(pod) < run->bases.size() &&
         run->bases[static_cast<std::size_t>(pod)].has_value();
}

std::uint64_t LogLineage::kept(int pod, OutputStream stream, int from, std::uint64_t offset, int now) const {
  // Parents have lower numbers, so the two paths to the root meet if the higher one always steps down.
  int mine = from;
  int theirs = now;
  std::uint64_t common = offset;
  while (mine != theirs && common > 0) {
    int& higher = mine > theirs ? mine : theirs;
    if (!knows(higher, pod)) return 0;
    const Run* run = find(higher);
    common = std::min(common, run->bases[static_cast<std::size_t>(pod)]->of(stream));
    higher = run->parent;
  }
  return common;
}

JsonArray LogLineage::to_json() const {
  JsonArray array;
  for (const Run& run : runs_) {
    JsonArray bases;
    for (const auto& base : run.bases) {
      bases.push_back(base ? Json(JsonArray{base->out, base->err}) : Json(nullptr));
    }
    array.push_back(JsonObject{{"incarnation", run.incarnation}, {"parent", run.parent}, {"bases", std::move(bases)}});
  }
  return array;
}

LogLineage LogLineage::from_json(const JsonArray& array) {
  LogLineage lineage;
  for (const Json& item : array) {
    const JsonObject* run = item.if_object();
    const JsonArray* bases = run == nullptr ? nullptr : json_find_array(*run, "bases");
    if (bases == nullptr) continue;
    const int incarnation = static_cast<int>(json_int_or(*run, "incarnation", 0));
    lineage.begin(incarnation, static_cast<int>(json_int_or(*run, "parent", 0)), static_cast<int>(bases->size()));
    for (std::size_t pod = 0; pod < bases->size(); ++pod) {
      const JsonArray* sizes = bases->at(pod).if_array();
      if (sizes == nullptr || sizes->size() != 2) continue;
      const auto size_at = [&](std::size_t i) {
        boost::system::error_code problem;
        const auto size = sizes->at(i).to_number<std::uint64_t>(problem);
        return problem ? std::uint64_t{0} : size;
      };
      lineage.learn(incarnation, static_cast<int>(pod), {.out = size_at(0), .err = size_at(1)});
    }
  }
  return lineage;
}

}  // namespace cacs::application
