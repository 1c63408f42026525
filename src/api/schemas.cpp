#include <stdexcept>

#include "api/openapi.h"

namespace cacs::api {
namespace {

/// JSON Schema (2020-12) of everything that crosses the API; docs/api-resources.md in a form that a test can hold the
/// server to. Answers may grow members; requests may not.
constexpr std::string_view kSchemas = R"json({
"AnyObject": {"type": "object"},
"NoOptions": {"type": "object", "additionalProperties": false},
"RestartOptions": {"type": "object", "additionalProperties": false, "properties": {
  "nodes": {"type": "object", "additionalProperties": false, "properties": {
    "count": {"type": "integer", "minimum": 1, "maximum": 1024},
    "names": {"type": "array", "items": {"type": "string"}, "maxItems": 1024}}}}},
"Time": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$"},
"TimeOrNull": {"anyOf": [{"$ref": "#/components/schemas/Time"}, {"type": "null"}]},
"Problem": {"type": "object", "required": ["type", "title", "status", "detail", "hint"], "properties": {
  "type": {"type": "string", "pattern": "^urn:cacs:problem:[a-z0-9-]+$"}, "title": {"type": "string"},
  "status": {"type": "integer", "minimum": 400, "maximum": 599}, "detail": {"type": "string"}, "hint": {"type": "string"}}},
"ProblemOrNull": {"anyOf": [{"$ref": "#/components/schemas/Problem"}, {"type": "null"}]},
"Exit": {"type": ["object", "null"], "required": ["kind", "code", "signal"], "properties": {
  "kind": {"enum": ["exited", "signaled", "oom", "unknown"]}, "code": {"type": "integer"}, "signal": {"type": "integer"}}},
"Pod": {"type": "object", "required": ["pod", "node", "state", "exit"], "properties": {
  "pod": {"type": "string"}, "node": {"type": "string"}, "state": {"type": "string"},
  "exit": {"$ref": "#/components/schemas/Exit"}}},
"LastCheckpoint": {"type": ["object", "null"], "required": ["id", "created_at", "state", "levels"], "properties": {
  "id": {"type": "string"}, "created_at": {"$ref": "#/components/schemas/Time"}, "state": {"type": "string"},
  "levels": {"type": "array", "items": {"type": "string"}}}},
"ApplicationState": {"enum": ["QUEUED", "CREATING", "PROVISIONING", "READY", "RUNNING", "RESTARTING", "SUSPENDING",
  "SUSPENDED", "COMPLETED", "ERROR", "TERMINATING"]},
"ApplicationSummary": {"type": "object",
  "required": ["id", "name", "state", "reason", "cloud", "engine", "incarnation", "attempts", "created_at", "started_at",
    "updated_at", "ended_at", "pods", "nodes", "health", "exit", "restored_from", "last_checkpoint", "checkpoint_count",
    "next_checkpoint_at", "progress", "operation"],
  "properties": {
  "id": {"type": "string"}, "name": {"type": "string"}, "state": {"$ref": "#/components/schemas/ApplicationState"},
  "reason": {"type": "string"}, "cloud": {"type": "string"}, "engine": {"type": "string"},
  "incarnation": {"type": "integer", "minimum": 0}, "attempts": {"type": "integer", "minimum": 0},
  "created_at": {"$ref": "#/components/schemas/Time"}, "started_at": {"$ref": "#/components/schemas/TimeOrNull"},
  "updated_at": {"$ref": "#/components/schemas/Time"}, "ended_at": {"$ref": "#/components/schemas/TimeOrNull"},
  "pods": {"type": "array", "items": {"$ref": "#/components/schemas/Pod"}},
  "nodes": {"type": "array", "items": {"type": "string"}}, "health": {"type": "string"},
  "exit": {"$ref": "#/components/schemas/Exit"}, "restored_from": {"type": ["string", "null"]},
  "last_checkpoint": {"$ref": "#/components/schemas/LastCheckpoint"},
  "checkpoint_count": {"type": "integer", "minimum": 0},
  "next_checkpoint_at": {"$ref": "#/components/schemas/TimeOrNull"}, "progress": {"type": ["integer", "null"]}, "operation": {"type": ["string", "null"]}}},
"Application": {"allOf": [{"$ref": "#/components/schemas/ApplicationSummary"},
  {"type": "object", "required": ["asr", "events"], "properties": {
    "asr": {"type": "object"}, "events": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}}}]},
"ApplicationList": {"type": "object", "required": ["items", "next_cursor"], "properties": {
  "items": {"type": "array", "items": {"$ref": "#/components/schemas/ApplicationSummary"}},
  "next_cursor": {"type": ["string", "null"]}}},
"Checkpoint": {"type": "object",
  "required": ["id", "application", "state", "reason", "problem", "incarnation", "created_at", "available_at", "size_bytes",
    "stored_bytes", "levels", "pods", "compatibility", "timings"],
  "properties": {
  "id": {"type": "string"}, "application": {"type": "string"},
  "state": {"enum": ["DUMPING", "STORING", "AVAILABLE", "FAILED"]},
  "reason": {"enum": ["periodic", "request", "application", "suspend", "terminate"]},
  "problem": {"$ref": "#/components/schemas/ProblemOrNull"}, "incarnation": {"type": "integer", "minimum": 0},
  "created_at": {"$ref": "#/components/schemas/Time"}, "available_at": {"$ref": "#/components/schemas/TimeOrNull"},
  "size_bytes": {"type": "integer", "minimum": 0}, "stored_bytes": {"type": "integer", "minimum": 0},
  "levels": {"type": "array", "items": {"type": "string"}}, "pods": {"type": "array", "items": {"type": "string"}},
  "compatibility": {"type": "object"}, "timings": {"type": "object"}}},
"CheckpointList": {"type": "object", "required": ["items", "next_cursor"], "properties": {
  "items": {"type": "array", "items": {"$ref": "#/components/schemas/Checkpoint"}},
  "next_cursor": {"type": ["string", "null"]}}},
"Operation": {"type": "object",
  "required": ["id", "kind", "application", "checkpoint", "state", "phase", "bytes_done", "bytes_total", "eta_ms",
    "created_at", "updated_at", "result", "problem"],
  "properties": {
  "id": {"type": "string"}, "kind": {"enum": ["submit", "checkpoint", "restart", "delete", "delete-checkpoint"]},
  "application": {"type": ["string", "null"]}, "checkpoint": {"type": ["string", "null"]},
  "state": {"enum": ["RUNNING", "SUCCEEDED", "FAILED"]}, "phase": {"type": "string"},
  "bytes_done": {"type": "integer", "minimum": 0}, "bytes_total": {"type": "integer", "minimum": 0},
  "eta_ms": {"type": ["integer", "null"]}, "created_at": {"$ref": "#/components/schemas/Time"},
  "updated_at": {"$ref": "#/components/schemas/Time"}, "result": {"type": ["object", "null"]},
  "problem": {"$ref": "#/components/schemas/ProblemOrNull"}}},
"Event": {"type": "object", "required": ["id", "time", "application", "kind", "message", "data"], "properties": {
  "id": {"type": "integer", "minimum": 0}, "time": {"$ref": "#/components/schemas/Time"},
  "application": {"type": ["string", "null"]}, "kind": {"type": "string"}, "message": {"type": "string"},
  "data": {"type": "object"}}},
"EventList": {"type": "object", "required": ["items", "next_cursor"], "properties": {
  "items": {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}, "next_cursor": {"type": "string"}}},
"LogRecord": {"type": "object", "properties": {
  "incarnation": {"type": "integer"}, "stream": {"enum": ["stdout", "stderr"]}, "offset": {"type": "integer", "minimum": 0},
  "data": {"type": "string"}, "rollback": {"type": "boolean"}, "exit": {"$ref": "#/components/schemas/Exit"}}},
"ExecRequest": {"type": "object", "required": ["command"], "additionalProperties": false, "properties": {
  "command": {"type": "array", "items": {"type": "string"}, "minItems": 1}, "env": {"type": "object"},
  "workdir": {"type": "string"}, "user": {"type": "string"}, "timeout_ms": {"type": "integer", "minimum": 0},
  "pod": {"type": "string"}, "stdin": {"type": "string"}}},
"ExecResult": {"type": "object", "required": ["exit", "stdout", "stderr"], "properties": {
  "exit": {"$ref": "#/components/schemas/Exit"}, "stdout": {"type": "string"}, "stderr": {"type": "string"}}},
"Explanation": {"type": "object", "required": ["savable", "obstacles", "warnings"], "properties": {
  "savable": {"type": "boolean"}, "obstacles": {"type": "array", "items": {"type": "object"}}, "warnings": {"type": "array"},
  "notes": {"type": "array", "items": {"type": "string"}}}},
"CloudList": {"type": "object", "required": ["items", "next_cursor"], "properties": {
  "items": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
  "next_cursor": {"type": "null"}}},
"NodeList": {"type": "object", "required": ["items", "next_cursor"], "properties": {
  "items": {"type": "array", "items": {"type": "object", "required": ["id", "cloud", "state", "info"], "properties": {
    "id": {"type": "string"}, "cloud": {"type": "string"}, "state": {"type": "string"}, "info": {"type": "object"}}}},
  "next_cursor": {"type": "null"}}},
"Health": {"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok", "ready"]}}},
"Version": {"type": "object", "required": ["name", "version", "api"], "properties": {
  "name": {"const": "cacs"}, "version": {"type": "string"}, "api": {"const": "v1"}}},
"ASR": {"type": "object", "required": ["command"], "additionalProperties": false, "properties": {
  "name": {"type": "string"}, "command": {"type": "array", "items": {"type": "string"}, "minItems": 1},
  "files": {"type": "array", "items": {"type": "object", "required": ["path"], "properties": {
    "path": {"type": "string"}, "content": {"type": "string"}}}},
  "workdir": {"type": "string"}, "env": {"type": "object"}, "secrets": {"type": "array", "items": {"type": "object"}},
  "user": {"type": "string"}, "cloud": {"type": "string"}, "pods": {"type": "integer", "minimum": 1},
  "nodes": {"type": "object"}, "resources": {"type": "object"}, "base": {"type": "string"},
  "provision": {"type": "array", "items": {"type": "string"}}, "mounts": {"type": "array", "items": {"type": "object"}},
  "network": {"type": "object"}, "engine": {"type": "string"}, "engine_options": {"type": "object"},
  "checkpoint": {"type": "object"}, "health": {"type": "object"}, "recovery": {"type": "object"},
  "time_limit": {"type": "string"}, "priority": {"type": "integer"}}}
})json";

}  // namespace

JsonObject schemas() {
  auto parsed = parse_json_object(kSchemas, "schemas");
  if (!parsed.ok()) throw std::logic_error("the API's own schemas: " + parsed.error().to_string());
  return std::move(parsed).value();
}

}  // namespace cacs::api
