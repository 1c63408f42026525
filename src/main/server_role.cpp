#include "main/server_role.h"

namespace cacs::main {

Result<int> run_server_role(const cli::ServerOptions&) { return make_error(ErrorCode::kUnsupported, "not wired yet"); }

}  // namespace cacs::main
