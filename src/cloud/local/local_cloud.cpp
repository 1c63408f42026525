#include "cloud/local/local_cloud.h"

#include <fmt/format.h>

#include <utility>

#include "base/io.h"
#include "base/json.h"

namespace cacs::cloud {
namespace {

std::string node_name(int index) { return fmt::format("local-{}", index); }

}  // namespace

Result<std::unique_ptr<LocalCloud>> LocalCloud::open(const LocalCloudOptions& options) {
  std::error_code failure;
  const std::filesystem::path state = std::filesystem::absolute(options.state, failure);
  std::filesystem::path program = options.program;
  if (program.empty()) program = std::filesystem::read_symlink("/proc/self/exe", failure);
  if (failure) return make_error(ErrorCode::kIo, "local cloud: " + failure.message());
  std::unique_ptr<LocalCloud> cloud(new LocalCloud(state / "nodes"));
  CACS_TRY(make_directories(cloud->directory_, 0700));
  for (int index = 0; index < options.nodes; ++index) {
    const std::string name = node_name(index);
    const std::filesystem::path directory = cloud->directory_ / name;
    std::vector<std::string> command = {
        program.string(), "agent", "--state", directory.string(),
        "--node",         name,    "--mask",  std::filesystem::absolute(options.state).string()};
    if (options.agent_arguments) {
      for (auto& argument : options.agent_arguments(name)) command.push_back(std::move(argument));
    }
    cloud->agents_.emplace(name,
                           std::make_unique<AgentProcess>(AgentProcessOptions{.command = std::move(command),
                                                                              .directory = directory,
                                                                              .start_limit = options.start_limit,
                                                                              .first_backoff = options.first_backoff}));
  }
  CACS_TRY(cloud->load_claims().context("local cloud"));
  return cloud;
}

Status LocalCloud::load_claims() {
  const std::filesystem::path path = directory_ / "claims.json";
  const Result<std::string> text = read_text_file(path);
  if (!text.ok()) return text.error().code == ErrorCode::kNotFound ? Status() : Status(text.error());
  CACS_ASSIGN(const JsonObject object, parse_json_object(*text, path.string()));
  CACS_ASSIGN(const std::int64_t version, json_int(object, "version"));
  if (version != 1) {
    return make_error(ErrorCode::kUnsupported, fmt::format("{} has version {}", path.string(), version),
                      "run the newer release of CACS that wrote it");
  }
  const JsonObject* claims = json_find_object(object, "claims");
  if (claims == nullptr) return make_error(ErrorCode::kCorrupt, path.string() + " lists no claims");
  for (const auto& [claim, count] : *claims) {
    if (!count.is_int64()) return make_error(ErrorCode::kCorrupt, path.string() + ": a claim is not a number");
    claims_[std::string(claim)] = static_cast<int>(count.as_int64());
  }
  return {};
}

Status LocalCloud::store_claims(const std::map<std::string, int, std::less<>>& claims) {
  JsonObject listed;
  for (const auto& [claim, count] : claims) listed[claim] = count;
  return write_file_durably(directory_ / "claims.json",
                            boost::json::serialize(JsonObject{{"version", 1}, {"claims", std::move(listed)}}));
}

Result<std::vector<Node>> LocalCloud::claim_nodes(std::string_view claim, int count, std::string_view /*template*/) {
  if (claim.empty() || count < 1) {
    return make_error(ErrorCode::kInvalidArgument, "local cloud: a claim needs a name and at least one node");
  }
  const std::scoped_lock lock(mutex_);
  const auto held = claims_.find(claim);
  if (held == claims_.end()) {
    if (static_cast<std::size_t>(count) > agents_.size()) {
      return make_error(
          ErrorCode::kUnavailable,
          fmt::format("local cloud: {} nodes are asked for; this machine gives {}", count, agents_.size()),
          "ask for fewer nodes, or name a cloud that has more");
    }
    auto claims = claims_;
    claims.emplace(claim, count);
    CACS_TRY(store_claims(claims).context("local cloud: record the claim"));
    claims_ = std::move(claims);
  }
  std::vector<Node> nodes;
  for (int index = 0; index < claims_.find(claim)->second; ++index) {
    nodes.push_back({.id = node_name(index), .state = "ready"});
  }
  return nodes;
}

Status LocalCloud::release_nodes(std::string_view claim) {
  const std::scoped_lock lock(mutex_);
  auto claims = claims_;
  const auto held = claims.find(claim);
  if (held == claims.end()) return {};
  claims.erase(held);
  CACS_TRY(store_claims(claims).context("local cloud: record the release"));
  claims_ = std::move(claims);
  return {};
}

Result<std::vector<Node>> LocalCloud::list_nodes() {
  std::vector<Node> nodes;
  for (const auto& [name, agent] : agents_) nodes.push_back({.id = name, .state = "ready"});
  return nodes;
}

Result<std::shared_ptr<NodeAgent>> LocalCloud::agent(std::string_view node) {
  const auto found = agents_.find(node);
  if (found == agents_.end()) {
    return make_error(ErrorCode::kNotFound, fmt::format("local cloud: there is no node {}", node));
  }
  auto client = found->second->ensure();
  if (!client.ok()) return client.error().with_context(fmt::format("node {}", node));
  return std::shared_ptr<NodeAgent>(*std::move(client));
}

Status LocalCloud::stop_agents() {
  Status first;
  for (const auto& [name, agent] : agents_) {
    const Status stopped = agent->stop();
    if (!stopped.ok() && first.ok()) first = Status(stopped).context(fmt::format("node {}", name));
  }
  return first;
}

}  // namespace cacs::cloud
