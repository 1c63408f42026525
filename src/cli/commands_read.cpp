#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/format.h"
#include "net/http_target.h"

// Commands that only look: ls, show, explain, checkpoints.
namespace cacs::cli {

namespace {

TimeStyle time_style(const Context& context) { return context.settings().utc ? TimeStyle::kUtc : TimeStyle::kRelative; }

std::string when(const Context& context, const JsonObject& object, std::string_view name) {
  return format_when(json_string_or(object, name, ""), wall_now(), time_style(context));
}

std::string size_cell(const JsonObject& object, std::string_view name) {
  const auto bytes = json_int_or(object, name, -1);
  return bytes < 0 ? "-" : format_size(static_cast<std::uint64_t>(bytes));
}

std::string joined(const JsonObject& object, std::string_view name) {
  const JsonArray* array = json_find_array(object, name);
  std::string text;
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    if (i > 0) text += ", ";
    const Json& item = (*array)[i];
    text += item.is_string() ? std::string(item.as_string()) : boost::json::serialize(item);
  }
  return text.empty() ? "-" : text;
}

/// Words as one would type them for a shell.
std::string command_line(const JsonObject& object, std::string_view name) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./,:@%";
  const JsonArray* array = json_find_array(object, name);
  std::string text;
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    const Json& item = (*array)[i];
    const std::string word = item.is_string() ? std::string(item.as_string()) : "";
    if (i > 0) text += ' ';
    text += !word.empty() && word.find_first_not_of(kPlain) == std::string::npos ? word : shell_quoted(word);
  }
  return text;
}

std::vector<std::string> ids_of(const std::vector<JsonObject>& items) {
  std::vector<std::string> ids;
  ids.reserve(items.size());
  for (const auto& item : items) ids.push_back(json_string_or(item, "id", ""));
  return ids;
}

/// What completion scripts ask for: ids and names, a line each.
void print_names(const Context& context, const std::vector<JsonObject>& items) {
  for (const auto& item : items) {
    for (const char* member : {"id", "name"}) {
      const std::string text = json_string_or(item, member, "");
      if (!text.empty()) context.terminal().out(printable(text) + "\n");
    }
  }
}

struct ListOptions {
  std::string state;
  std::string cloud;
  std::string name;
  std::string cursor;
  int limit = 0;
  bool names = false;

  [[nodiscard]] std::string query() const {
    std::string text;
    const auto add = [&text](std::string_view key, std::string_view value) {
      if (!value.empty()) text += fmt::format("{}{}={}", text.empty() ? '?' : '&', key, net::percent_encode(value));
    };
    add("state", state);
    add("cloud", cloud);
    add("name", name);
    add("cursor", cursor);
    if (limit > 0) add("limit", std::to_string(limit));
    return text;
  }
};

Result<int> run_ls(Context& context, const ListOptions& options) {
  CACS_ASSIGN(Api * api, context.connect(options.names ? StartServer::kNever : StartServer::kIfUsed));
  const std::string path = "/v1/coordinators" + options.query();
  if (context.json() && !options.names) {
    CACS_ASSIGN(const ApiDocument document, api->get(path));
    context.print_raw(document.raw);
    return 0;
  }
  CACS_ASSIGN(const auto items, api->list(path));
  if (options.names) {
    print_names(context, items);
    return 0;
  }
  if (items.empty()) {
    context.terminal().remark("there are no applications; `cacs run -- PROGRAM` starts one");
    return 0;
  }
  const std::size_t id_length = short_id_length(ids_of(items));
  Table table({"ID", "NAME", "STATE", "CLOUD", "CREATED", "LAST CHECKPOINT", "CHECKPOINTS"});
  for (const auto& item : items) {
    const JsonObject* last = json_find_object(item, "last_checkpoint");
    table.add({json_string_or(item, "id", "").substr(0, id_length), cell(item, "name"), cell(item, "state"),
               cell(item, "cloud"), when(context, item, "created_at"),
               last == nullptr ? "-" : when(context, *last, "created_at"), cell(item, "checkpoint_count")});
  }
  context.terminal().out(table.render(context.terminal().colour_out()));
  return 0;
}

void add_fact(std::string& text, std::string_view name, const std::string& value) {
  if (value.empty() || value == "-") return;
  text += fmt::format("{:<18}{}\n", std::string(name) + ":", printable(value, 4096));
}

std::string facts_of(const Context& context, const JsonObject& application) {
  std::string text;
  for (const char* name : {"id", "name", "state", "reason", "cloud", "engine", "incarnation", "attempts", "health"}) {
    add_fact(text, name, cell(application, name));
  }
  add_fact(text, "exit", describe_exit(json_find_object(application, "exit")));
  add_fact(text, "created", when(context, application, "created_at"));
  add_fact(text, "started", when(context, application, "started_at"));
  add_fact(text, "ended", when(context, application, "ended_at"));
  add_fact(text, "restored from", cell(application, "restored_from"));
  if (const JsonObject* last = json_find_object(application, "last_checkpoint")) {
    add_fact(text, "last checkpoint",
             fmt::format("{} {} ({})", cell(*last, "id"), cell(*last, "state"), when(context, *last, "created_at")));
  }
  add_fact(text, "checkpoints", cell(application, "checkpoint_count"));
  add_fact(text, "next checkpoint", when(context, application, "next_checkpoint_at"));
  if (const Json* progress = application.if_contains("progress"); progress != nullptr && !progress->is_null())
    add_fact(text, "progress", cell(application, "progress"));
  if (const JsonObject* asr = json_find_object(application, "asr"))
    add_fact(text, "command", command_line(*asr, "command"));
  return text;
}

Result<int> run_show(Context& context, const std::string& name) {
  CACS_ASSIGN(Api * api, context.connect());
  CACS_ASSIGN(const std::string id, api->find_application(name));
  CACS_ASSIGN(const ApiDocument document, api->get(application_path(id)));
  if (context.json()) {
    context.print_raw(document.raw);
    return 0;
  }
  Terminal& terminal = context.terminal();
  terminal.out(facts_of(context, document.object));
  Table pods({"POD", "NODE", "STATE", "EXIT"});
  if (const JsonArray* array = json_find_array(document.object, "pods")) {
    for (const auto& item : *array) {
      if (!item.is_object()) continue;
      const JsonObject& pod = item.as_object();
      pods.add({cell(pod, "pod"), cell(pod, "node"), cell(pod, "state"), describe_exit(json_find_object(pod, "exit"))});
    }
  }
  if (!pods.empty()) terminal.out("\n" + pods.render(terminal.colour_out()));
  Table events({"WHEN", "EVENT", "MESSAGE"});
  if (const JsonArray* array = json_find_array(document.object, "events")) {
    for (const auto& item : *array) {
      if (!item.is_object()) continue;
      const JsonObject& event = item.as_object();
      events.add({when(context, event, "time"), cell(event, "kind"), cell(event, "message")});
    }
  }
  if (!events.empty()) terminal.out("\n" + events.render(terminal.colour_out()));
  return 0;
}

std::string list_findings(const JsonObject& answer, std::string_view member, std::string_view mark) {
  std::string text;
  const JsonArray* array = json_find_array(answer, member);
  for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
    const JsonObject* finding = (*array)[i].if_object();
    if (finding == nullptr) {
      const Json& item = (*array)[i];
      const std::string plain = item.is_string() ? std::string(item.as_string()) : boost::json::serialize(item);
      text += fmt::format("{} {}\n", mark, printable(plain, 4096));
      continue;
    }
    const std::string process = cell(*finding, "process");
    const std::string what = fmt::format("{}: {}{}", cell(*finding, "kind"), cell(*finding, "what"),
                                         process == "-" ? "" : " (process " + process + ")");
    text += fmt::format("{} {}\n", mark, printable(what, 4096));
    const std::string hint = json_string_or(*finding, "hint", "");
    if (!hint.empty()) text += fmt::format("    hint: {}\n", printable(hint, 4096));
  }
  return text;
}

Result<int> run_explain(Context& context, const std::string& name) {
  CACS_ASSIGN(Api * api, context.connect());
  CACS_ASSIGN(const std::string id, api->find_application(name));
  CACS_ASSIGN(const ApiDocument document, api->get(application_path(id, "/explain")));
  CACS_ASSIGN(const bool savable, json_bool(document.object, "savable"));
  if (context.json()) {
    context.print_raw(document.raw);
  } else {
    context.terminal().out(savable ? "It can be saved.\n" : "It cannot be saved:\n");
    context.terminal().out(list_findings(document.object, "notes", "  note:"));
    context.terminal().out(list_findings(document.object, "obstacles", "  obstacle:"));
    context.terminal().out(list_findings(document.object, "warnings", "  warning:"));
  }
  return savable ? 0 : 1;
}

Result<int> run_checkpoints(Context& context, const std::string& name, bool names) {
  CACS_ASSIGN(Api * api, context.connect(names ? StartServer::kNever : StartServer::kIfUsed));
  CACS_ASSIGN(const std::string id, api->find_application(name));
  const std::string path = application_path(id, "/checkpoints");
  if (context.json() && !names) {
    CACS_ASSIGN(const ApiDocument document, api->get(path));
    context.print_raw(document.raw);
    return 0;
  }
  CACS_ASSIGN(const auto items, api->list(path));
  if (names) {
    print_names(context, items);
    return 0;
  }
  if (items.empty()) {
    context.terminal().remark("it has no checkpoints yet; `cacs checkpoint APP` takes one");
    return 0;
  }
  const std::size_t id_length = short_id_length(ids_of(items));
  Table table({"ID", "STATE", "TAKEN", "REASON", "SIZE", "STORED", "FROZEN", "LEVELS", "PROBLEM"});
  for (const auto& item : items) {
    const JsonObject* timings = json_find_object(item, "timings");
    const JsonObject* problem = json_find_object(item, "problem");
    const std::string frozen = timings == nullptr ? "-" : cell(*timings, "frozen_ms");
    table.add({json_string_or(item, "id", "").substr(0, id_length), cell(item, "state"),
               when(context, item, "created_at"), cell(item, "reason"), size_cell(item, "size_bytes"),
               size_cell(item, "stored_bytes"), frozen == "-" ? frozen : frozen + " ms", joined(item, "levels"),
               problem == nullptr ? "" : cell(*problem, "detail")});
  }
  context.terminal().out(table.render(context.terminal().colour_out()));
  return 0;
}

/// A command whose only argument is the application.
CommandSpec one_application_command(CommandSpec spec, Result<int> (*run)(Context&, const std::string&)) {
  auto name = std::make_shared<std::string>();
  spec.group = "Look";
  spec.setup = [name](CLI::App& app) {
    app.add_option("APP", *name, "id, unique beginning of an id, or unique name")->required();
  };
  spec.run = [name, run](Context& context) { return run(context, *name); };
  return spec;
}

}  // namespace

CommandSpec make_ls_command() {
  auto options = std::make_shared<ListOptions>();
  return {
      .name = "ls",
      .group = "Look",
      .summary = "list applications",
      .example = "cacs ls --state RUNNING",
      .notes = "With -o json it prints one page, as the API gives it: --limit and --cursor choose which.",
      .setup =
          [options](CLI::App& app) {
            app.add_option("--state", options->state, "only those in this state")->type_name("STATE");
            app.add_option("--cloud", options->cloud, "only those on this cloud")->type_name("CLOUD");
            app.add_option("--name", options->name, "only those of this name")->type_name("NAME");
            app.add_option("--limit", options->limit, "items of a page")->type_name("N")->check(CLI::Range(1, 1000));
            app.add_option("--cursor", options->cursor, "next_cursor of the page before")->type_name("CURSOR");
            app.add_flag("--names", options->names, "only ids and names, a line each; never starts a server");
          },
      .run = [options](Context& context) { return run_ls(context, *options); }};
}

CommandSpec make_show_command() {
  return one_application_command({.name = "show",
                                  .summary = "show one application: state, pods, last checkpoint, events",
                                  .example = "cacs show lj-melt"},
                                 run_show);
}

CommandSpec make_explain_command() {
  return one_application_command({.name = "explain",
                                  .summary = "tell whether an application can be saved, and what stands in the way",
                                  .example = "cacs explain lj-melt",
                                  .notes = "Ends with 1 when it cannot be saved."},
                                 run_explain);
}

CommandSpec make_checkpoints_command() {
  auto name = std::make_shared<std::string>();
  auto names = std::make_shared<bool>(false);
  return {.name = "checkpoints",
          .group = "Look",
          .summary = "list the checkpoints of an application",
          .example = "cacs checkpoints lj-melt",
          .setup =
              [name, names](CLI::App& app) {
                app.add_option("APP", *name, "id, unique beginning of an id, or unique name")->required();
                app.add_flag("--names", *names, "only ids, a line each; never starts a server");
              },
          .run = [name, names](Context& context) { return run_checkpoints(context, *name, *names); }};
}

}  // namespace cacs::cli
