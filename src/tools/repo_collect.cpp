#include <fmt/format.h>

#include <charconv>
#include <map>
#include <set>

#include "base/text.h"
#include "cli/exit_codes.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "tools/repo_actions.h"

// cacs repo gc, forget: what takes something away.
namespace cacs::tools {

using repository::CollectResult;
using repository::Repository;
using repository::RetentionChoice;
using repository::RetentionItem;
using repository::RetentionPolicy;
using repository::Summary;

namespace {

/// With sessions one run condemns and a later one removes. Nobody else being there, two are enough; what a session that
/// is open keeps from being removed waits for another collection.
Result<CollectResult> collect_in_runs(cli::Context& context, Repository& repository, double max_garbage) {
  constexpr int kMaxRuns = 4;
  CollectResult sum;
  for (int run = 0; run < kMaxRuns; ++run) {
    CACS_ASSIGN(auto result, repository.collect({.max_garbage = max_garbage}));
    sum.packs_removed += result.packs_removed;
    sum.packs_written += result.packs_written;
    sum.bytes_freed += result.bytes_freed;
    sum.bytes_garbage = result.bytes_garbage;
    sum.packs_condemned = result.packs_condemned;
    sum.problems = std::move(result.problems);
    const bool moved = result.packs_removed + result.packs_written > 0;
    if (result.packs_condemned == 0 || (run > 0 && !moved)) break;
  }
  if (sum.packs_condemned > 0) {
    context.terminal().remark(
        fmt::format("{} packs wait for checkpoints that are being stored: collect again later", sum.packs_condemned));
  }
  return sum;
}

Result<CollectResult> collect(cli::Context& context, Repository& repository, double max_garbage) {
  if (repository.has_sessions()) return collect_in_runs(context, repository, max_garbage);
  auto result = repository.collect({.max_garbage = max_garbage, .wait = repository::GateWait::kFail});
  if (result || result.error().code != ErrorCode::kUnavailable) return result;
  context.terminal().remark("a checkpoint is being stored: the collection begins when that has ended");
  return repository.collect({.max_garbage = max_garbage, .wait = repository::GateWait::kBlock});
}

JsonObject json_of(const CollectResult& result) {
  JsonArray problems;
  for (const auto& problem : result.problems) problems.push_back(error_to_json(problem));
  return {{"packs_removed", result.packs_removed},     {"packs_written", result.packs_written},
          {"packs_condemned", result.packs_condemned}, {"bytes_freed", result.bytes_freed},
          {"bytes_garbage", result.bytes_garbage},     {"problems", std::move(problems)}};
}

void print(cli::Context& context, const CollectResult& result) {
  std::string text = fmt::format("freed {}: {} packs removed, {} written anew\n", format_size(result.bytes_freed),
                                 result.packs_removed, result.packs_written);
  if (result.bytes_garbage > 0) {
    text +=
        fmt::format("{} that nothing needs stay in packs that are mostly needed\n", format_size(result.bytes_garbage));
  }
  for (const auto& problem : result.problems) text += "left as it is: " + printable(problem.message, 1000) + "\n";
  context.terminal().out(text);
}

Result<std::int64_t> count_of(const std::string& text, const char* option) {
  if (text.empty()) return 0;
  if (text == "unlimited") return RetentionPolicy::kUnlimited;
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error == std::errc() && end == text.data() + text.size() && count >= 0 && count <= 1'000'000'000) return count;
  return make_error(ErrorCode::kInvalidArgument,
                    fmt::format("{} '{}' is no number of checkpoints to keep", option, printable(text)),
                    "write a whole number, or unlimited");
}

/// One thing that may be forgotten, and what is known of it.
struct Candidate {
  const Summary* summary = nullptr;
  std::vector<std::string> reasons;  ///< why it stays; empty: it goes
};

std::string name_of(const Summary& summary) { return json_string_or(summary.head.meta, "name", ""); }

/// The application that the option means, among those in the repository.
Result<std::string> application_of(const std::vector<Summary>& list, const std::string& text) {
  std::vector<JsonObject> items;
  std::set<std::string> seen;
  for (const auto& summary : list) {
    if (summary.problem || !seen.insert(summary.head.application).second) continue;
    items.push_back({{"id", summary.head.application}, {"name", name_of(summary)}});
  }
  auto found = cli::pick_item(items, text, "application");
  if (!found && found.error().code == ErrorCode::kNotFound) {
    return found.error().with_hint(
        "`cacs repo forget --keep-last unlimited --dry-run` lists what is in the repository");
  }
  return found;
}

Result<std::vector<Candidate>> candidates_by_name(const std::vector<Summary>& list,
                                                  const std::vector<std::string>& names) {
  std::vector<JsonObject> items;
  items.reserve(list.size());
  for (const auto& summary : list) items.push_back({{"id", summary.head.checkpoint}});
  std::vector<Candidate> chosen;
  std::set<std::string> seen;
  for (const auto& name : names) {
    CACS_ASSIGN(const std::string id, cli::pick_item(items, name, "checkpoint"));
    if (!seen.insert(id).second) continue;
    const auto found = std::ranges::find(list, id, [](const Summary& summary) { return summary.head.checkpoint; });
    chosen.push_back({.summary = &*found, .reasons = {}});
  }
  return chosen;
}

Result<std::vector<Candidate>> candidates_by_policy(cli::Context& context, const std::vector<Summary>& list,
                                                    const ForgetOptions& options) {
  std::string application;
  if (!options.application.empty()) {
    CACS_ASSIGN(application, application_of(list, options.application));
  }
  std::vector<RetentionItem> items;
  std::map<std::string, const Summary*> by_id;
  for (const auto& summary : list) {
    const auto& head = summary.head;
    const auto created = cli::parse_time(head.created_at);
    if (summary.problem || !created) {
      context.terminal().remark("checkpoint " + printable(head.checkpoint) +
                                " cannot be read or dated and is left alone: `cacs repo check`");
      continue;
    }
    if (!application.empty() && head.application != application) continue;
    items.push_back({.application = head.application, .id = head.checkpoint, .created = *created});
    by_id[head.checkpoint] = &summary;
  }
  std::vector<Candidate> chosen;
  if (options.remove_all) {
    for (const auto& [id, summary] : by_id) chosen.push_back({.summary = summary, .reasons = {}});
    return chosen;
  }
  CACS_ASSIGN(const RetentionPolicy policy, policy_of(options));
  CACS_ASSIGN(const auto choices, apply_retention(std::move(items), policy, wall_now()));
  for (const RetentionChoice& choice : choices) {
    chosen.push_back({.summary = by_id.at(choice.item.id), .reasons = choice.reasons});
  }
  return chosen;
}

Status check_request(const ForgetOptions& options, const FoundPlace& place) {
  CACS_ASSIGN(const RetentionPolicy policy, policy_of(options));
  const auto wrong = [](std::string message, std::string hint) {
    return make_error(ErrorCode::kInvalidArgument, "forget: " + std::move(message), std::move(hint));
  };
  const bool by_name = !options.checkpoints.empty();
  if (by_name && (!policy.empty() || options.remove_all || !options.application.empty())) {
    return wrong("checkpoints are named, and a policy is given too", "give one of the two");
  }
  if (options.remove_all && (!policy.empty() || options.application.empty())) {
    return wrong("--unsafe-allow-remove-all takes all checkpoints of one application",
                 "name it with --application, and no rules of what to keep");
  }
  if (!by_name && !options.remove_all && policy.empty()) {
    return wrong("nothing says which checkpoints to keep, so none is removed",
                 "say it, as with --keep-last 3 --keep-daily 7; or name checkpoints to remove");
  }
  if (!place.of_node || options.force || options.dry_run) return {};
  return make_error(ErrorCode::kConflict,
                    "forget: " + place.describe() +
                        " is a node's own: its applications' records name these checkpoints, and a restart would look "
                        "for them in vain",
                    "remove them with `cacs delete APP CHECKPOINT`, keep fewer with \"keep\" in the ASR or `cacs run "
                    "--keep`; or --force");
}

void print(cli::Context& context, const std::vector<Candidate>& chosen) {
  const auto style = context.settings().utc ? cli::TimeStyle::kUtc : cli::TimeStyle::kRelative;
  cli::Table table({"APPLICATION", "CHECKPOINT", "TAKEN", "SIZE", "", "BECAUSE OF"});
  for (const auto& candidate : chosen) {
    const auto& head = candidate.summary->head;
    const std::string name = name_of(*candidate.summary);
    table.add({name.empty() ? head.application : name, head.checkpoint,
               cli::format_when(head.created_at, wall_now(), style), format_size(head.size_bytes),
               candidate.reasons.empty() ? "remove" : "keep", fmt::format("{}", fmt::join(candidate.reasons, ", "))});
  }
  if (!table.empty()) context.terminal().out(table.render(context.terminal().colour_out()));
}

JsonArray json_of(const std::vector<Candidate>& chosen) {
  JsonArray items;
  for (const auto& candidate : chosen) {
    const auto& head = candidate.summary->head;
    JsonArray reasons;
    for (const auto& reason : candidate.reasons) reasons.emplace_back(reason);
    items.push_back(JsonObject{{"id", head.checkpoint},
                               {"application", head.application},
                               {"name", name_of(*candidate.summary)},
                               {"created_at", head.created_at},
                               {"size_bytes", head.size_bytes},
                               {"keep", !candidate.reasons.empty()},
                               {"reasons", std::move(reasons)}});
  }
  return items;
}

/// Oldest first: interrupted, it has taken what would have gone first anyway.
Result<std::size_t> remove_chosen(Repository& repository, std::vector<Candidate> chosen) {
  std::erase_if(chosen, [](const Candidate& candidate) { return !candidate.reasons.empty(); });
  std::ranges::sort(chosen, {}, [](const Candidate& candidate) { return candidate.summary->head.created_at; });
  for (const auto& candidate : chosen) {
    auto removed = repository.remove(candidate.summary->head.checkpoint);
    // Somebody else was faster: it is gone all the same.
    if (!removed && removed.error().code != ErrorCode::kNotFound) {
      return removed.error().with_context("forget checkpoint " + candidate.summary->head.checkpoint);
    }
  }
  return chosen.size();
}

}  // namespace

Result<double> parse_share(std::string_view text) {
  double number = 0;
  const bool percent = text.ends_with('%');
  const std::string_view digits = percent ? text.substr(0, text.size() - 1) : text;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const double share = percent ? number / 100 : number;
  if (error == std::errc() && end == digits.data() + digits.size() && share >= 0 && share <= 1) return share;
  return make_error(ErrorCode::kInvalidArgument, "'" + printable(text) + "' is no share of a pack",
                    "write it as 20% or 0.2");
}

Result<RetentionPolicy> policy_of(const ForgetOptions& options) {
  RetentionPolicy policy;
  CACS_ASSIGN(policy.last, count_of(options.last, "--keep-last"));
  CACS_ASSIGN(policy.hourly, count_of(options.hourly, "--keep-hourly"));
  CACS_ASSIGN(policy.daily, count_of(options.daily, "--keep-daily"));
  CACS_ASSIGN(policy.weekly, count_of(options.weekly, "--keep-weekly"));
  CACS_ASSIGN(policy.monthly, count_of(options.monthly, "--keep-monthly"));
  CACS_ASSIGN(policy.yearly, count_of(options.yearly, "--keep-yearly"));
  if (!options.within.empty()) {
    CACS_ASSIGN(policy.within, repository::parse_calendar_span(options.within));
  }
  return policy;
}

Result<int> run_repo_gc(cli::Context& context, const GcOptions& options) {
  CACS_ASSIGN(const double max_garbage, parse_share(options.max_garbage));
  CACS_ASSIGN(const FoundPlace place, find_place(context, options.place));
  cli::ProgressBar bar(context.terminal());
  CACS_ASSIGN(const auto repository, open_found(context, options.place, place, [&](std::uint64_t done) {
                bar.update("collecting", done, 0, std::nullopt);
              }));
  CACS_ASSIGN(const CollectResult result, collect(context, *repository, max_garbage));
  bar.clear();
  if (context.json()) {
    context.print_raw(boost::json::serialize(json_of(result)));
  } else {
    print(context, result);
  }
  return result.problems.empty() ? cli::kExitOk : cli::kExitFailure;
}

Result<int> run_repo_forget(cli::Context& context, const ForgetOptions& options) {
  CACS_ASSIGN(const FoundPlace place, find_place(context, options.place));
  CACS_TRY(check_request(options, place));
  CACS_ASSIGN(const auto repository, open_found(context, options.place, place));
  CACS_ASSIGN(const auto list, repository->list());
  CACS_ASSIGN(const auto chosen, options.checkpoints.empty() ? candidates_by_policy(context, list, options)
                                                             : candidates_by_name(list, options.checkpoints));
  if (!context.json()) print(context, chosen);
  std::size_t removed = 0;
  std::optional<CollectResult> collected;
  if (!options.dry_run) {
    CACS_ASSIGN(removed, remove_chosen(*repository, chosen));
    if (options.prune && removed > 0) {
      CACS_ASSIGN(collected, collect(context, *repository, repository::CollectOptions{}.max_garbage));
    }
  }
  if (context.json()) {
    JsonObject document{{"dry_run", options.dry_run}, {"removed", removed}, {"items", json_of(chosen)}};
    document["collected"] = collected ? Json(json_of(*collected)) : Json(nullptr);
    context.print_raw(boost::json::serialize(document));
    return collected && !collected->problems.empty() ? cli::kExitFailure : cli::kExitOk;
  }
  const auto going =
      std::ranges::count_if(chosen, [](const Candidate& candidate) { return candidate.reasons.empty(); });
  context.terminal().out(options.dry_run ? fmt::format("{} checkpoints would be removed\n", going)
                                         : fmt::format("removed {} checkpoints\n", removed));
  if (collected) print(context, *collected);
  if (removed > 0 && !options.prune) {
    context.terminal().remark("their space comes back with `cacs repo gc`");
  }
  return collected && !collected->problems.empty() ? cli::kExitFailure : cli::kExitOk;
}

}  // namespace cacs::tools
