#pragma once

#include "base/fd.h"
#include "base/json.h"
#include "base/process.h"
#include "base/result.h"

/// Things that the kernel keeps as long as some process has them open, and that nothing else names: namespaces above
/// all. Who holds one has it under an agreed number, and others find it there.
namespace cacs {

/// As JSON: {"pid", "start_time", "boot_id"}, perhaps among more.
JsonObject identity_to_json(const ProcessIdentity& identity);
Result<ProcessIdentity> identity_from_json(const JsonObject& object);

/// What exactly that process has open as `number`. kNotFound: it has ended, or has not.
Result<UniqueFd> borrow_fd(const ProcessIdentity& holder, int number);

}  // namespace cacs
