#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "cli/api_client.h"
#include "cli/progress.h"

namespace cacs::cli {

/// An answer that is JSON, with its bytes as the server sent them (for -o json).
struct ApiDocument {
  JsonObject object;
  std::string raw;
  std::string location;
};

/// The error that an answer of status 400 and above stands for: its problem document, or the status if it has none.
Error error_of_answer(const ApiAnswer& answer);

/// The REST API in the words of the commands. One thread.
class Api {
 public:
  explicit Api(ApiClient& client) : client_(client) {}

  Result<ApiDocument> get(const std::string& path);
  Result<ApiDocument> send(const std::string& method, const std::string& path, const std::string& body = {});
  /// Every item of a list, page by page.
  Result<std::vector<JsonObject>> list(const std::string& path);

  /// The id of the application that `text` means: an id, a unique prefix of at least 4 hexadecimal digits of one, or a
  /// unique name. kNotFound; kConflict names the candidates.
  Result<std::string> find_application(std::string_view text);
  /// The same for a checkpoint of it; "latest" stays as it is.
  Result<std::string> find_checkpoint(const std::string& application, std::string_view text);

  [[nodiscard]] ApiClient& client() { return client_; }

 private:
  ApiClient& client_;
};

/// "/v1/coordinators/ID" and below.
std::string application_path(std::string_view id, std::string_view below = {});

/// Which of `items` (with members id and name) `text` means. `kind` ("application") is for messages.
Result<std::string> pick_item(const std::vector<JsonObject>& items, std::string_view text, std::string_view kind);

/// Waits between two looks at something; false: stop waiting.
using Pause = std::function<bool(std::chrono::milliseconds)>;

/// Where to look for the operation that an answer started, or empty.
std::string operation_path(const ApiDocument& started);

/// Follows an operation to its end, with a progress bar. A failed one is its problem's error; kAborted when `pause`
/// stopped it.
Result<ApiDocument> wait_for_operation(Api& api, Terminal& terminal, const std::string& path, const Pause& pause);

}  // namespace cacs::cli
