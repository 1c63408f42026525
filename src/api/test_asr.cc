// Just enough of parse_asr for the API's tests where the application component is not built.

#include "application/asr.h"

namespace cacs::application {

Result<Asr> parse_asr(const JsonObject& body) {
  Asr asr;
  for (const auto& member : body) {
    if (member.key() == "name") {
      CACS_ASSIGN(asr.name, json_string(body, "name"));
    } else if (member.key() == "command" && member.value().is_array()) {
      for (const Json& part : member.value().as_array()) asr.command.emplace_back(part.as_string());
    } else {
      return make_error(ErrorCode::kInvalidArgument, "unknown field '" + std::string(member.key()) + "'")
          .with_type("unknown-field");
    }
  }
  if (asr.command.empty()) return make_error(ErrorCode::kInvalidArgument, "'command' is missing");
  return asr;
}

}  // namespace cacs::application
