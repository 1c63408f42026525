#pragma once

#include <vector>

#include "api/operation.h"
#include "base/json.h"

namespace cacs::api {

/// The OpenAPI 3.1 document of the operations: paths made from the table that the routes are made from, schemas from
/// schemas.cpp.
JsonObject openapi_document(const std::vector<Operation>& operations);

/// components/schemas.
JsonObject schemas();

}  // namespace cacs::api
