// Operations on clouds and their nodes.

#include "api/operation.h"
#include "api/views_json.h"

namespace cacs::api {
namespace {

net::Response clouds(const Call& call) {
  application::Page<std::string> page{.items = call.backend.service.clouds(), .next_cursor = {}};
  return json_answer(200, page_to_json(page, [](const std::string& name) { return JsonObject{{"name", name}}; }));
}

net::Response nodes(const Call& call) {
  auto found = call.backend.service.nodes(call.param("name"));
  if (!found.ok()) return net::problem_response(found.error());
  const application::Page<application::NodeView> page{.items = std::move(found).value(), .next_cursor = {}};
  return json_answer(200, page_to_json(page, node_to_json));
}

}  // namespace

void add_node_operations(std::vector<Operation>& operations) {
  operations.push_back({.method = "GET",
                        .path = "/clouds",
                        .id = "listClouds",
                        .summary = "The clouds this server has",
                        .answers = {{.schema = "CloudList", .description = "all of them"}},
                        .handler = clouds});
  operations.push_back({.method = "GET",
                        .path = "/clouds/{name}/nodes",
                        .id = "listNodes",
                        .summary = "The nodes of a cloud",
                        .answers = {{.schema = "NodeList", .description = "all of them"}},
                        .handler = nodes});
  operations.push_back(later("/nodes/{id}/drain", "drainNode", "Empty a node for maintenance", "emptying a node"));
}

}  // namespace cacs::api
