#include "cli/api.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "base/uuid.h"
#include "net/http_message.h"
#include "net/http_target.h"

namespace cacs::cli {

namespace {

constexpr std::size_t kMaxPages = 10'000;
constexpr std::string_view kProblemPrefix = "urn:cacs:problem:";

Result<ApiDocument> to_document(ApiAnswer answer) {
  if (answer.status >= 400) return error_of_answer(answer);
  ApiDocument document{.object = {}, .raw = std::move(answer.body), .location = std::move(answer.location)};
  if (document.raw.empty()) return document;
  CACS_ASSIGN(document.object, parse_json_object(document.raw, "the server's answer", std::size_t{64} << 20U));
  return document;
}

bool is_hex_prefix(std::string_view text) {
  const auto digits = std::count_if(text.begin(), text.end(), [](char c) { return c != '-'; });
  return digits >= 4 && text.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

std::string describe(const JsonObject& item) {
  const std::string name = json_string_or(item, "name", "");
  return json_string_or(item, "id", "?") + (name.empty() ? "" : " (" + name + ")");
}

Error ambiguous(const std::vector<const JsonObject*>& found, std::string_view text, std::string_view kind) {
  constexpr std::size_t kShown = 8;
  std::string candidates;
  for (std::size_t i = 0; i < std::min(found.size(), kShown); ++i) {
    candidates += (i == 0 ? "" : ", ") + describe(*found[i]);
  }
  if (found.size() > kShown) candidates += fmt::format(" and {} more", found.size() - kShown);
  return make_error(
      ErrorCode::kConflict,
      fmt::format("'{}' is ambiguous: {} {}s match it: {}", printable(text), found.size(), kind, candidates),
      "use more digits of the id");
}

}  // namespace

Error error_of_answer(const ApiAnswer& answer) {
  Error error = make_error(net::code_of_status(answer.status),
                           fmt::format("the server answered {} {}", answer.status, net::status_phrase(answer.status)));
  const auto problem = parse_json_object(answer.body, "problem");
  if (problem) {
    const std::string title = json_string_or(*problem, "title", "");
    const std::string detail = json_string_or(*problem, "detail", title);
    if (!detail.empty()) error.message = detail;
    error.hint = json_string_or(*problem, "hint", "");
    const std::string type = json_string_or(*problem, "type", "");
    if (type.starts_with(kProblemPrefix)) error.type = type.substr(kProblemPrefix.size());
    // The slug is often a code's own name, which is more exact than the status.
    const ErrorCode named = error_code_from_name(error.type);
    if (error_code_name(named) == error.type) error.code = named;
  }
  if (error.hint.empty() && answer.status == 401) error.hint = "give the server's token: CACS_TOKEN or --token-file";
  return error;
}

Result<ApiDocument> Api::get(const std::string& path) {
  CACS_ASSIGN(ApiAnswer answer, client_.call({.target = path}));
  return to_document(std::move(answer));
}

Result<ApiDocument> Api::send(const std::string& method, const std::string& path, const std::string& body) {
  // The key makes a repetition after a lost answer harmless.
  CACS_ASSIGN(ApiAnswer answer,
              client_.call({.method = method, .target = path, .body = body, .idempotency_key = new_uuid()}));
  return to_document(std::move(answer));
}

Result<std::vector<JsonObject>> Api::list(const std::string& path) {
  std::vector<JsonObject> items;
  std::string cursor;
  for (std::size_t page = 0; page < kMaxPages; ++page) {
    const char separator = path.find('?') == std::string::npos ? '?' : '&';
    CACS_ASSIGN(const ApiDocument document,
                get(cursor.empty() ? path : path + separator + "cursor=" + net::percent_encode(cursor)));
    const JsonArray* array = json_find_array(document.object, "items");
    if (array == nullptr) return make_error(ErrorCode::kInternal, "the server's list has no 'items'");
    for (const auto& item : *array) {
      if (item.is_object()) items.push_back(item.as_object());
    }
    const std::string next = json_string_or(document.object, "next_cursor", "");
    if (next.empty() || next == cursor) return items;
    cursor = next;
  }
  return make_error(ErrorCode::kTooLarge, "the server's list has no end");
}

std::string application_path(std::string_view id, std::string_view below) {
  return "/v1/coordinators/" + net::percent_encode(id) + std::string(below);
}

Result<std::string> pick_item(const std::vector<JsonObject>& items, std::string_view text, std::string_view kind) {
  const bool may_be_prefix = is_hex_prefix(text);
  std::vector<const JsonObject*> found;
  for (const auto& item : items) {
    const std::string id = json_string_or(item, "id", "");
    if (id == text) return id;
    if (json_string_or(item, "name", "") == text || (may_be_prefix && id.starts_with(text))) found.push_back(&item);
  }
  if (found.size() > 1) return ambiguous(found, text, kind);
  if (found.size() == 1) return json_string_or(*found.front(), "id", "");
  std::vector<std::string> names;
  names.reserve(items.size());
  for (const auto& item : items) names.push_back(json_string_or(item, "name", ""));
  const std::vector<std::string_view> views(names.begin(), names.end());
  const auto near = nearest_name(text, views);
  return make_error(ErrorCode::kNotFound, fmt::format("there is no {} '{}'", kind, printable(text)),
                    near && !near->empty()  ? "did you mean '" + *near + "'?"
                    : kind == "application" ? "`cacs ls` lists them"
                                            : "`cacs checkpoints APP` lists them");
}

Result<std::string> Api::find_application(std::string_view text) {
  if (is_uuid(text)) return std::string(text);
  CACS_ASSIGN(const auto items, list("/v1/coordinators"));
  return pick_item(items, text, "application");
}

Result<std::string> Api::find_checkpoint(const std::string& application, std::string_view text) {
  if (is_uuid(text) || text == "latest") return std::string(text);
  CACS_ASSIGN(const auto items, list(application_path(application, "/checkpoints")));
  return pick_item(items, text, "checkpoint");
}

std::string operation_path(const ApiDocument& started) {
  // Location may be a whole URL behind a proxy: only its path is of use on this connection.
  const std::size_t at = started.location.find("/v1/operations/");
  if (at != std::string::npos) return started.location.substr(at);
  const std::string id = json_string_or(started.object, "operation", "");
  return id.empty() ? "" : "/v1/operations/" + net::percent_encode(id);
}

Result<ApiDocument> wait_for_operation(Api& api, Terminal& terminal, const std::string& path, const Pause& pause) {
  ProgressBar bar(terminal);
  std::chrono::milliseconds wait(20);
  while (true) {
    CACS_ASSIGN(ApiDocument document, api.get(path));
    const JsonObject& operation = document.object;
    const std::string state = json_string_or(operation, "state", "");
    if (state == "SUCCEEDED") return document;
    if (state == "FAILED") {
      const JsonObject* problem = json_find_object(operation, "problem");
      const std::string kind = json_string_or(operation, "kind", "operation");
      if (problem == nullptr) return make_error(ErrorCode::kAborted, kind + " failed");
      const auto status = static_cast<int>(json_int_or(*problem, "status", 500));
      return error_of_answer({.status = status, .body = boost::json::serialize(*problem), .location = {}})
          .with_context(kind);
    }
    if (state != "RUNNING") {
      return make_error(ErrorCode::kInternal, "the server answered with an operation in state '" + state + "'");
    }
    const auto eta = json_int_or(operation, "eta_ms", -1);
    const auto bytes = [&operation](const char* name) {
      return static_cast<std::uint64_t>(std::max<std::int64_t>(0, json_int_or(operation, name, 0)));
    };
    std::string label = json_string_or(operation, "phase", "");
    if (label.empty()) label = json_string_or(operation, "kind", "working");
    bar.update(label, bytes("bytes_done"), bytes("bytes_total"),
               eta < 0 ? std::nullopt : std::optional(std::chrono::milliseconds(eta)));
    if (!pause(wait)) return make_error(ErrorCode::kAborted, "interrupted while waiting; the server goes on");
    wait = std::min(wait * 2, std::chrono::milliseconds(250));
  }
}

}  // namespace cacs::cli
