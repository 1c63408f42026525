#include "cloud/local/local_cloud.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/io.h"
#include "base/json.h"
#include "net/certificates.h"
#include "repository/keys/key_file.h"

namespace cacs::cloud {
namespace {

constexpr std::uint16_t kAgentPort = 7071;
constexpr std::uint16_t kPeerPort = 7072;
constexpr int kClaimsVersion = 2;
constexpr char kClusterKey[] = "repository.key";
/// Pods may be frozen meanwhile.
constexpr std::chrono::seconds kPeerTimeout{8};

std::string node_name(int index) { return LocalNetwork::node_name(index); }

/// Certificates of the authority are issued anew only where there are none of it.
Status ensure_tls_files(const std::filesystem::path& directory, const net::Certificate& authority,
                        const std::string& name) {
  const net::TlsFiles files = net::tls_files(directory);
  const auto trusted = read_text_file(files.authority);
  if (trusted && *trusted == authority.certificate) return {};
  return net::write_tls_files(directory, authority, name);
}

std::string peer_address(int index) { return fmt::format("{}:{}", LocalNetwork::address(index), kPeerPort); }

/// By which a node opens what another one has stored elsewhere (Node::remote).
Status ensure_cluster_key(const std::filesystem::path& path) {
  const auto made = repository::create_key_file(path, repository::SecretKey::random());
  return made || made.error().code == ErrorCode::kConflict ? Status() : Status(made.error());
}

/// How the server reaches a node over the nodes' network.
net::ClientOptions client_options(const net::TlsFiles& server, const LocalNetwork& network, int index) {
  return {.base_url = "https://" + node_name(index),
          .peer_timeout = kPeerTimeout,
          .ca_file = server.authority.string(),
          .certificate_file = server.certificate.string(),
          .key_file = server.key.string(),
          .connect_to = fmt::format("{}:{}", LocalNetwork::address(index), kAgentPort),
          .network_namespace = network.router(),
          .proxy = net::ProxyUse::kNone};
}

/// Makes `options` those of an agent on the nodes' network.
Status put_on_network(AgentProcessOptions& options, const std::filesystem::path& nodes, const LocalNetwork& network,
                      int index) {
  CACS_ASSIGN(const net::Certificate authority, net::open_authority(nodes / "tls", "CACS"));
  CACS_TRY(ensure_tls_files(nodes / "tls" / "server", authority, net::kServerName));
  CACS_TRY(ensure_tls_files(options.directory / "tls", authority, node_name(index)));
  const std::string listen = fmt::format("{}:{}", LocalNetwork::address(index), kAgentPort);
  const std::vector<std::string> words = {"--listen",       listen,
                                          "--listen-peers", peer_address(index),
                                          "--tls",          (options.directory / "tls").string(),
                                          "--network-fd",   std::to_string(LocalNetwork::kNodeFd),
                                          "--hold-fd",      std::to_string(LocalNetwork::kRouterFd),
                                          "--cluster-key",  (nodes / kClusterKey).string()};
  options.command.insert(options.command.end(), words.begin(), words.end());
  options.fds = {{network.node(index), LocalNetwork::kNodeFd}, {network.router(), LocalNetwork::kRouterFd}};
  options.client = client_options(net::tls_files(nodes / "tls" / "server"), network, index);
  return {};
}

}  // namespace

Result<std::unique_ptr<LocalCloud>> LocalCloud::open(const LocalCloudOptions& options) {
  std::error_code failure;
  const std::filesystem::path state = std::filesystem::absolute(options.state, failure);
  std::filesystem::path program = options.program;
  if (program.empty()) program = std::filesystem::read_symlink("/proc/self/exe", failure);
  if (failure) return make_error(ErrorCode::kIo, "local cloud: " + failure.message());
  std::unique_ptr<LocalCloud> cloud(new LocalCloud(state / "nodes", options.remote));
  CACS_TRY(make_directories(cloud->directory_, 0700));
  if (options.nodes < 1 || options.nodes > LocalNetwork::kMaxNodes) {
    return make_error(ErrorCode::kInvalidArgument,
                      fmt::format("local cloud: 1 to {} nodes, not {}", LocalNetwork::kMaxNodes, options.nodes));
  }
  if (options.network) {
    CACS_ASSIGN(cloud->network_, LocalNetwork::open(cloud->directory_, options.nodes));
    CACS_TRY(ensure_cluster_key(cloud->directory_ / kClusterKey).context("local cloud"));
  }
  for (int index = 0; index < options.nodes; ++index) {
    const std::string name = node_name(index);
    const std::filesystem::path directory = cloud->directory_ / name;
    std::vector<std::string> command = {
        program.string(), "agent", "--state", directory.string(),
        "--node",         name,    "--mask",  std::filesystem::absolute(options.state).string()};
    if (options.agent_arguments) {
      for (auto& argument : options.agent_arguments(name)) command.push_back(std::move(argument));
    }
    AgentProcessOptions agent{.command = std::move(command),
                              .directory = directory,
                              .fds = {},
                              .client = {},
                              .start_limit = options.start_limit,
                              .first_backoff = options.first_backoff};
    if (cloud->network_) {
      CACS_TRY(put_on_network(agent, cloud->directory_, *cloud->network_, index).context("node " + name));
    }
    cloud->agents_.emplace(name, std::make_unique<AgentProcess>(std::move(agent)));
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
  if (version < 1 || version > kClaimsVersion) {
    return make_error(ErrorCode::kUnsupported, fmt::format("{} has version {}", path.string(), version),
                      "run the newer release of CACS that wrote it");
  }
  const JsonObject* claims = json_find_object(object, "claims");
  if (claims == nullptr) return make_error(ErrorCode::kCorrupt, path.string() + " lists no claims");
  for (const auto& [claim, held] : *claims) {
    std::vector<std::string>& nodes = claims_[std::string(claim)];
    if (version == 1 && held.is_int64()) {  // a number of nodes: the first ones
      for (int index = 0; index < std::min<std::int64_t>(held.as_int64(), LocalNetwork::kMaxNodes); ++index) {
        nodes.push_back(node_name(index));
      }
    }
    if (const JsonArray* names = held.if_array(); names != nullptr && version > 1) {
      for (const Json& name : *names) {
        if (name.is_string()) nodes.emplace_back(name.get_string());
      }
    }
    if (nodes.empty()) {
      return make_error(ErrorCode::kCorrupt,
                        fmt::format("{}: claim {} has no nodes", path.string(), std::string(claim)));
    }
  }
  return {};
}

Status LocalCloud::store_claims(const Claims& claims) {
  JsonObject listed;
  for (const auto& [claim, nodes] : claims) listed[claim] = JsonArray(nodes.begin(), nodes.end());
  return write_file_durably(
      directory_ / "claims.json",
      boost::json::serialize(JsonObject{{"version", kClaimsVersion}, {"claims", std::move(listed)}}));
}

/// Those of `home` first, then those with the fewest claims.
std::vector<std::string> LocalCloud::choose(std::size_t count, const std::vector<std::string>& home) const {
  std::vector<std::pair<std::size_t, std::string>> load;
  for (int index = 0; static_cast<std::size_t>(index) < agents_.size(); ++index) {
    const std::string name = node_name(index);
    const auto holds = [&](const auto& claim) { return std::ranges::count(claim.second, name) > 0; };
    load.emplace_back(static_cast<std::size_t>(std::ranges::count_if(claims_, holds)), name);
  }
  std::ranges::stable_sort(load, {}, &std::pair<std::size_t, std::string>::first);
  std::vector<std::string> nodes;
  const auto take = [&](const std::string& name) {
    const bool wanted = nodes.size() < count && agents_.contains(name) && std::ranges::count(nodes, name) == 0;
    if (wanted) nodes.push_back(name);
  };
  for (const std::string& name : home) take(name);
  for (const auto& [claims, name] : load) take(name);
  return nodes;
}

Node LocalCloud::node(const std::string& name) const {
  Node node{.id = name, .state = "ready"};
  for (int index = 0; network_ && index < LocalNetwork::kMaxNodes; ++index) {
    if (node_name(index) != name) continue;
    node.address = LocalNetwork::address(index);
    node.agent = peer_address(index);
  }
  if (remote_) node.remote = remote_(name);
  return node;
}

Result<std::vector<Node>> LocalCloud::claim_nodes(std::string_view claim, int count, std::string_view /*template*/,
                                                  const std::vector<std::string>& home) {
  if (claim.empty() || count < 1) {
    return make_error(ErrorCode::kInvalidArgument, "local cloud: a claim needs a name and at least one node");
  }
  const std::scoped_lock lock(mutex_);
  if (!claims_.contains(claim)) {
    if (static_cast<std::size_t>(count) > agents_.size()) {
      return make_error(
          ErrorCode::kUnavailable,
          fmt::format("local cloud: {} nodes are asked for; this machine gives {}", count, agents_.size()),
          "ask for fewer nodes, start the server with --local-nodes, or name a cloud that has more");
    }
    auto claims = claims_;
    claims.emplace(claim, choose(static_cast<std::size_t>(count), home));
    CACS_TRY(store_claims(claims).context("local cloud: record the claim"));
    claims_ = std::move(claims);
  }
  std::vector<Node> nodes;
  for (const std::string& name : claims_.find(claim)->second) nodes.push_back(node(name));
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
  for (const auto& [name, agent] : agents_) nodes.push_back(node(name));
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
