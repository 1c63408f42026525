#include "agent/compatibility.h"

#include <sys/utsname.h>

#include <algorithm>
#include <set>

#include "base/io.h"
#include "base/text.h"

namespace cacs::agent {

namespace {

std::set<std::string> words_of(const std::string& text) {
  std::set<std::string> words;
  for (auto& word : split(text, ' ')) {
    if (!word.empty()) words.insert(std::move(word));
  }
  return words;
}

Error differs(const std::string& what) {
  return make_error(ErrorCode::kConflict, "the checkpoint does not fit this node: " + what,
                    "restart it on a node like the one it was taken on")
      .with_type("incompatible-node");
}

}  // namespace

Result<JsonObject> node_compatibility(const engine::Engine& engine, const engine::ProbeResult& probe) {
  utsname names{};
  if (::uname(&names) != 0) return errno_error(errno, "uname");
  CACS_ASSIGN(const std::string cpuinfo, read_text_file("/proc/cpuinfo"));
  std::string features;
  for (const auto& line : split(cpuinfo, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const auto key = trim(std::string_view(line).substr(0, colon));
    if (key != "flags" && key != "Features") continue;
    features = std::string(trim(std::string_view(line).substr(colon + 1)));
    break;
  }
  return JsonObject{{"architecture", names.machine},
                    {"kernel", names.release},
                    {"cpu_features", features},
                    {"engine", JsonObject{{"name", engine.name()}, {"version", probe.version}}},
                    {"base", "host"}};
}

JsonObject files_compatibility(const JsonObject& compatibility) {
  return {{"architecture", json_string_or(compatibility, "architecture", "")},
          {"engine", JsonObject{{"name", "app"}, {"version", CACS_VERSION}}},
          {"base", json_string_or(compatibility, "base", "")}};
}

Status check_engine(const JsonObject& saved, std::string_view engine) {
  const JsonObject* by = json_find_object(saved, "engine");
  const std::string name = by == nullptr ? "" : json_string_or(*by, "name", "");
  if (name.empty() || name == engine) return {};
  return make_error(ErrorCode::kConflict,
                    "the checkpoint was taken by the engine " + printable(name) + ", not by " + printable(engine),
                    "restart from one that was taken since the engine is another");
}

Status check_compatible(const JsonObject& saved, const JsonObject& here) {
  const std::string architecture = json_string_or(saved, "architecture", "");
  if (architecture != json_string_or(here, "architecture", "")) {
    return differs("it was taken on " + printable(architecture) + ", this is " +
                   json_string_or(here, "architecture", "?"));
  }
  const auto wanted = words_of(json_string_or(saved, "cpu_features", ""));
  const auto present = words_of(json_string_or(here, "cpu_features", ""));
  std::vector<std::string> missing;
  std::set_difference(wanted.begin(), wanted.end(), present.begin(), present.end(), std::back_inserter(missing));
  if (!missing.empty()) {
    std::string list;
    for (const auto& feature : missing) list += (list.empty() ? "" : ", ") + feature;
    return differs("the processor lacks " + printable(list));
  }
  return {};
}

}  // namespace cacs::agent
