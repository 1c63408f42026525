#include <fmt/format.h>

#include <map>

#include "base/text.h"
#include "cli/exit_codes.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "repository/keys/key_file.h"
#include "tools/repo_actions.h"

// cacs repo init, stat, check.
namespace cacs::tools {

using repository::Credential;
using repository::KeyFromKeyFile;
using repository::Sealing;

namespace {

Result<Sealing> sealing_of(const std::string& name) {
  for (const Sealing sealing : {Sealing::kNone, Sealing::kAes256Gcm, Sealing::kChaCha20Poly1305}) {
    if (sealing_name(sealing) == name) return sealing;
  }
  return make_error(ErrorCode::kInvalidArgument, "'" + printable(name) + "' is no way of sealing",
                    "write aes-256-gcm, chacha20-poly1305 or none");
}

/// The credential of a repository that is about to be made. A key file that is not there is made.
Result<Credential> new_credential(cli::Context& context, const PlaceOptions& options, const FoundPlace& place) {
  CACS_ASSIGN(const auto source, key_source(context, options.key, place));
  if (const auto* file = std::get_if<KeyFromKeyFile>(&source)) {
    const Status made = create_key_file(file->path, repository::SecretKey::random());
    if (!made && made.error().code != ErrorCode::kConflict) return made.error();
    if (made) {
      context.terminal().remark("made the key file " + printable(file->path.string(), 4096) +
                                ": keep a copy elsewhere, without it everything is lost");
    }
  }
  return get_credential(source, repository::Asking::kForNew,
                        "Passphrase of the new repository in " + place.describe() + ": ");
}

/// Sums over the checkpoints of a repository.
struct Totals {
  std::map<std::string, std::size_t> applications;
  std::uint64_t bytes = 0;
  std::string oldest;
  std::string newest;
  std::size_t unreadable = 0;
};

Totals totals_of(const std::vector<repository::Summary>& list) {
  Totals totals;
  for (const auto& summary : list) {
    if (summary.problem) {
      ++totals.unreadable;
      continue;
    }
    ++totals.applications[summary.head.application];
    totals.bytes += summary.head.size_bytes;
    const std::string& created = summary.head.created_at;
    if (totals.oldest.empty() || created < totals.oldest) totals.oldest = created;
    if (created > totals.newest) totals.newest = created;
  }
  return totals;
}

void print_problems(cli::Context& context, const std::vector<Error>& problems) {
  for (const auto& problem : problems) {
    std::string line = "damaged: " + printable(problem.message, 1000) + "\n";
    if (!problem.hint.empty()) line += "  hint: " + printable(problem.hint, 1000) + "\n";
    context.terminal().out(line);
  }
}

}  // namespace

Result<int> run_repo_init(cli::Context& context, const InitOptions& options) {
  CACS_ASSIGN(const Sealing sealing, sealing_of(options.sealing));
  CACS_ASSIGN(const FoundPlace place, named_place(context, options.place));
  CACS_ASSIGN(auto opened, open_place(place, IfMissing::kMake));
  // Said before anybody has to think of a passphrase.
  if (repository::read_descriptor(*opened.backend).ok()) {
    return make_error(ErrorCode::kConflict, "make a repository in " + place.describe() + ": there is one already",
                      "`cacs repo stat` shows it");
  }
  Credential credential = repository::SecretKey::random();  // sealing none needs none
  if (sealing != Sealing::kNone) {
    CACS_ASSIGN(credential, new_credential(context, options.place, place));
  }
  if (options.shared || place.location.kind == repository::Location::Kind::kS3) opened.gate = nullptr;
  CACS_TRY(create_repository(std::move(opened), credential, {.sealing = sealing, .label = repository::own_label()}));
  CACS_ASSIGN(const auto again, open_place(place, IfMissing::kFail));
  CACS_ASSIGN(const auto descriptor, repository::read_descriptor(*again.backend));
  if (context.json()) {
    context.print_raw(boost::json::serialize(JsonObject{
        {"repository", descriptor.id}, {"location", place.describe()}, {"sealing", sealing_name(descriptor.sealing)}}));
    return cli::kExitOk;
  }
  context.terminal().out(fmt::format("made repository {} in {}\n", descriptor.id, printable(place.describe(), 4096)));
  if (std::holds_alternative<repository::Passphrase>(credential)) {
    context.terminal().remark(
        "who forgets the passphrase loses everything in it; `cacs repo key add` makes a second way");
  }
  return cli::kExitOk;
}

Result<int> run_repo_stat(cli::Context& context, const PlaceOptions& options) {
  CACS_ASSIGN(const FoundPlace place, find_place(context, options));
  CACS_ASSIGN(const auto looked, open_place(place, IfMissing::kFail));
  CACS_ASSIGN(const auto descriptor, repository::read_descriptor(*looked.backend));
  CACS_ASSIGN(const auto repository, open_found(context, options, place));
  CACS_ASSIGN(const repository::Stats stats, repository->stats());
  CACS_ASSIGN(const auto list, repository->list());
  const Totals totals = totals_of(list);
  if (context.json()) {
    JsonArray applications;
    for (const auto& [id, count] : totals.applications) {
      applications.push_back(JsonObject{{"application", id}, {"checkpoints", count}});
    }
    JsonObject document{{"repository", descriptor.id},
                        {"location", place.describe()},
                        {"sealing", sealing_name(descriptor.sealing)},
                        {"checkpoints", stats.checkpoints},
                        {"unreadable", totals.unreadable},
                        {"pieces", stats.pieces},
                        {"packs", stats.packs},
                        {"stored_bytes", stats.stored_bytes},
                        {"checkpoint_bytes", totals.bytes},
                        {"applications", std::move(applications)}};
    document["oldest"] = totals.oldest.empty() ? Json(nullptr) : Json(totals.oldest);
    document["newest"] = totals.newest.empty() ? Json(nullptr) : Json(totals.newest);
    context.print_raw(boost::json::serialize(document));
    return cli::kExitOk;
  }
  cli::Table table({"repository:", descriptor.id});
  table.add({"location:", place.describe()});
  table.add({"sealing:", std::string(sealing_name(descriptor.sealing))});
  table.add({"checkpoints:", fmt::format("{} of {} applications", stats.checkpoints, totals.applications.size())});
  if (totals.unreadable > 0) table.add({"unreadable:", fmt::format("{} (`cacs repo check`)", totals.unreadable)});
  const auto style = context.settings().utc ? cli::TimeStyle::kUtc : cli::TimeStyle::kRelative;
  table.add({"oldest, newest:", cli::format_when(totals.oldest, wall_now(), style) + ", " +
                                    cli::format_when(totals.newest, wall_now(), style)});
  table.add({"in checkpoints:", format_size(totals.bytes)});
  table.add({"stored:", fmt::format("{} in {} packs", format_size(stats.stored_bytes), stats.packs)});
  if (stats.pieces > 0) table.add({"pieces:", std::to_string(stats.pieces) + " (parts of checkpoints being taken)"});
  context.terminal().out(table.render(false));
  return cli::kExitOk;
}

Result<int> run_repo_check(cli::Context& context, const CheckOptions& options) {
  CACS_ASSIGN(const FoundPlace place, find_place(context, options.place));
  CACS_ASSIGN(const auto looked, open_place(place, IfMissing::kFail));
  CACS_ASSIGN(const auto descriptor, repository::read_descriptor(*looked.backend));
  CACS_ASSIGN(const auto slots, load_slots(*looked.backend, descriptor.id));
  cli::ProgressBar bar(context.terminal());
  std::uint64_t total = 0;
  CACS_ASSIGN(const auto repository, open_found(context, options.place, place, [&](std::uint64_t done) {
                bar.update("checking", done, total, std::nullopt);
              }));
  CACS_ASSIGN(const repository::Stats stats, repository->stats());
  if (options.read_data) total = stats.stored_bytes;
  CACS_ASSIGN(repository::CheckResult result, repository->check(options.read_data));
  bar.clear();
  result.problems.insert(result.problems.begin(), slots.problems.begin(), slots.problems.end());
  const bool sound = result.problems.empty();
  if (context.json()) {
    JsonArray problems;
    for (const auto& problem : result.problems) problems.push_back(error_to_json(problem));
    context.print_raw(boost::json::serialize(JsonObject{{"ok", sound},
                                                        {"read_data", options.read_data},
                                                        {"checkpoints", stats.checkpoints},
                                                        {"packs", stats.packs},
                                                        {"slots_read", result.slots_read},
                                                        {"problems", std::move(problems)}}));
    return sound ? cli::kExitOk : cli::kExitFailure;
  }
  print_problems(context, result.problems);
  std::string line = fmt::format("{} checkpoints, {} packs", stats.checkpoints, stats.packs);
  if (options.read_data) line += fmt::format(", {} parts read", result.slots_read);
  line += sound ? ": sound\n" : fmt::format(": {} problems\n", result.problems.size());
  if (sound && !options.read_data) line += "what the packs hold was not read: --read-data does\n";
  context.terminal().out(line);
  return sound ? cli::kExitOk : cli::kExitFailure;
}

}  // namespace cacs::tools
