// The agent's API over HTTP: docs/agent-api.md, one route a line, and `cacs agent` that serves it.

#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <csignal>

#include "agent/agent.h"
#include "agent/explain.h"
#include "agent/explain_files.h"
#include "agent/peer_server.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "net/http_server.h"

namespace cacs::agent {

namespace {

using net::Request;
using net::Response;
using net::Route;
using net::RouteKind;

Response error_response(const Error& error) {
  return net::json_response(net::status_of(error.code), boost::json::serialize(error_to_json(error)));
}

Response answer(const Result<JsonObject>& result, int status = 200) {
  if (!result) return error_response(result.error());
  return net::json_response(status, boost::json::serialize(*result));
}

Response answer(const Status& status) {
  if (!status) return error_response(status.error());
  Response response;
  response.status = 204;
  return response;
}

std::string_view query(const Request& request, std::string_view name) {
  const std::string* value = net::find_query(request.query, name);
  return value == nullptr ? std::string_view() : std::string_view(*value);
}

std::int64_t number(const Request& request, std::string_view name, std::int64_t fallback, std::int64_t max) {
  const std::string_view text = query(request, name);
  std::int64_t value = fallback;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return std::clamp<std::int64_t>(value, 0, max);
}

std::chrono::milliseconds wait_of(const Request& request) {
  return std::chrono::milliseconds(number(request, "wait_ms", 0, 60'000));
}

/// Handlers that need a body and a pod in the body's incarnation.
template <typename Call>
Response with_pod(Agent& agent, const Request& request, Call call) {
  JsonObject body;
  if (!request.body.empty()) {
    auto parsed = parse_json_object(request.body, "request body");
    if (!parsed) return error_response(parsed.error());
    body = *std::move(parsed);
  }
  auto pod = agent.find_pod(request.param("uid"), static_cast<int>(json_int_or(body, "incarnation", 0)));
  if (!pod) return error_response(pod.error());
  return answer(call(**pod, body));
}

template <typename Call>
Response with_body(const Request& request, Call call, int status) {
  auto body = parse_json_object(request.body, "request body");
  if (!body) return error_response(body.error());
  return answer(call(*body), status);
}

Response explain(Agent& agent, const Request& request) {
  auto pod = agent.find_pod(request.param("uid"));
  if (!pod) return error_response(pod.error());
  auto init = (*pod)->init_pid();
  if (!init) return error_response(init.error());
  if ((*pod)->spec().self_saving) return answer(explain_files(*init, (*pod)->spec(), (*pod)->layout().upper()));
  auto explained = explain_pod(*init, (*pod)->spec());
  if (explained) (*pod)->add_base_warnings(*explained);
  return answer(explained);
}

LogWish log_wish(const Request& request) {
  const auto offset = [&](std::string_view stream) -> std::optional<std::uint64_t> {
    if (net::find_query(request.query, stream) == nullptr) return std::nullopt;
    return static_cast<std::uint64_t>(number(request, stream, 0, std::int64_t{1} << 60U));
  };
  return {.out = offset("stdout"),
          .err = offset("stderr"),
          .limit = static_cast<std::size_t>(number(request, "limit", 65536, 1 << 20)),
          .wait = wait_of(request)};
}

Response logs(Agent& agent, const Request& request) {
  return with_pod(agent, request, [&](NodePod& pod, const JsonObject&) { return pod.read_logs(log_wish(request)); });
}

std::vector<Route> pod_routes(Agent& agent) {
  std::vector<Route> routes;
  const auto add = [&](const char* method, const char* pattern, RouteKind kind, net::Handler handler) {
    routes.push_back({method, pattern, kind, std::move(handler), {}});
  };
  add("GET", "/v1/pods", RouteKind::kBlocking, [&](const Request&) { return answer(agent.list_pods()); });
  add("PUT", "/v1/pods/{uid}", RouteKind::kLong, [&](const Request& request) {
    return with_body(
        request, [&](const JsonObject& body) { return agent.put_pod(request.param("uid"), body); }, 202);
  });
  add("GET", "/v1/pods/{uid}", RouteKind::kBlocking, [&](const Request& request) {
    return with_pod(agent, request, [](NodePod& pod, const JsonObject&) { return Result<JsonObject>(pod.view()); });
  });
  add("DELETE", "/v1/pods/{uid}", RouteKind::kLong, [&](const Request& request) {
    return answer(
        agent.delete_pod(request.param("uid"), static_cast<int>(number(request, "incarnation", 0, 1'000'000'000))));
  });
  add("POST", "/v1/pods/{uid}/cuts/{checkpoint}", RouteKind::kLong, [&](const Request& request) {
    return with_pod(agent, request, [&](NodePod& pod, const JsonObject& body) {
      return pod.begin_cut(request.param("checkpoint"), body);
    });
  });
  add("POST", "/v1/pods/{uid}/cuts/{checkpoint}/ask", RouteKind::kLong, [&](const Request& request) {
    return with_pod(agent, request,
                    [&](NodePod& pod, const JsonObject&) { return pod.ask_to_save(request.param("checkpoint")); });
  });
  add("POST", "/v1/pods/{uid}/cuts/{checkpoint}/thaw", RouteKind::kLong, [&](const Request& request) {
    return with_pod(agent, request,
                    [&](NodePod& pod, const JsonObject&) { return pod.thaw(request.param("checkpoint")); });
  });
  add("POST", "/v1/pods/{uid}/cuts/{checkpoint}/abort", RouteKind::kLong, [&](const Request& request) {
    return with_pod(agent, request,
                    [&](NodePod& pod, const JsonObject&) { return pod.abort_cut(request.param("checkpoint")); });
  });
  add("GET", "/v1/pods/{uid}/cuts/{checkpoint}", RouteKind::kLong, [&](const Request& request) {
    return with_pod(agent, request, [&](NodePod& pod, const JsonObject&) {
      return pod.cut_view(request.param("checkpoint"), wait_of(request));
    });
  });
  add("POST", "/v1/pods/{uid}/network", RouteKind::kBlocking, [&](const Request& request) {
    return with_pod(agent, request, [](NodePod& pod, const JsonObject&) -> Result<JsonObject> {
      CACS_TRY(pod.open_network());
      return JsonObject{};
    });
  });
  add("POST", "/v1/pods/{uid}/outcome", RouteKind::kBlocking, [&](const Request& request) {
    return with_pod(agent, request, [](NodePod& pod, const JsonObject& body) -> Result<JsonObject> {
      CACS_TRY(pod.report_outcome(body));
      return JsonObject{};
    });
  });
  add("GET", "/v1/pods/{uid}/logs", RouteKind::kLong, [&](const Request& request) { return logs(agent, request); });
  add("POST", "/v1/pods/{uid}/exec", RouteKind::kLong, [&](const Request& request) {
    return with_pod(agent, request, [](NodePod& pod, const JsonObject& body) { return pod.exec(body); });
  });
  add("GET", "/v1/pods/{uid}/explain", RouteKind::kBlocking,
      [&](const Request& request) { return explain(agent, request); });
  return routes;
}

std::vector<Route> make_routes(Agent& agent) {
  auto routes = pod_routes(agent);
  const auto add = [&](const char* method, const char* pattern, RouteKind kind, net::Handler handler) {
    routes.push_back({method, pattern, kind, std::move(handler), {}});
  };
  add("GET", "/v1/info", RouteKind::kBlocking, [&](const Request&) { return answer(agent.info()); });
  add("GET", "/v1/events", RouteKind::kLong, [&](const Request& request) {
    const auto after = static_cast<std::uint64_t>(number(request, "after", 0, std::int64_t{1} << 60U));
    return answer(agent.events().read(after, query(request, "instance"), wait_of(request)));
  });
  add("GET", "/v1/checkpoints", RouteKind::kBlocking, [&](const Request&) { return answer(agent.list_checkpoints()); });
  add("PUT", "/v1/checkpoints/{checkpoint}", RouteKind::kLong, [&](const Request& request) {
    return with_body(
        request, [&](const JsonObject& body) { return agent.commit_checkpoint(request.param("checkpoint"), body); },
        201);
  });
  add("GET", "/v1/checkpoints/{checkpoint}", RouteKind::kBlocking,
      [&](const Request& request) { return answer(agent.get_checkpoint(request.param("checkpoint"))); });
  add("GET", "/v1/checkpoints/{checkpoint}/verify", RouteKind::kLong,
      [&](const Request& request) { return answer(agent.verify_checkpoint(request.param("checkpoint"))); });
  add("GET", "/v1/checkpoints/{checkpoint}/logs", RouteKind::kBlocking, [&](const Request& request) {
    return answer(
        agent.checkpoint_logs(request.param("checkpoint"), std::string(query(request, "pod")), log_wish(request)));
  });
  add("POST", "/v1/checkpoints/{checkpoint}/exports", RouteKind::kBlocking, [&](const Request& request) {
    return with_body(
        request,
        [&](const JsonObject& body) -> Result<JsonObject> {
          CACS_ASSIGN(const std::string pod, json_string(body, "pod"));
          CACS_ASSIGN(std::string ticket, agent.exports().permit(request.param("checkpoint"), pod));
          return JsonObject{{"ticket", std::move(ticket)}};
        },
        201);
  });
  add("DELETE", "/v1/checkpoints/{checkpoint}", RouteKind::kBlocking,
      [&](const Request& request) { return answer(agent.delete_checkpoint(request.param("checkpoint"))); });
  return routes;
}

}  // namespace

int run_agent(const AgentOptions& options) {
  init_logging("agent", "info");
  // Before any thread: all of them must have these blocked.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  auto agent = Agent::start(options);
  if (!agent) {
    spdlog::critical("{}", agent.error().to_string());
    return 1;
  }
  net::ServerOptions server_options;
  server_options.unix_socket = options.state_dir / "agent.sock";
  server_options.threads = 1;
  server_options.gate = [](const Request& request) -> std::optional<Response> {
    if (request.peer.uid && *request.peer.uid == ::geteuid()) return std::nullopt;
    return error_response(make_error(ErrorCode::kPermission, "the agent serves its own user only"));
  };
  server_options.render_error = [](int, const Error& error) { return error_response(error); };
  auto server = net::HttpServer::start(std::move(server_options), make_routes(**agent));
  if (!server) {
    spdlog::critical("{}", server.error().to_string());
    return 1;
  }
  const auto gateway = open_gateway(options, options.listen, net::kServerName, options.state_dir / "agent.sock");
  const auto peers = gateway ? PeerServer::start(**agent, options) : gateway.error();
  if (!peers) {
    spdlog::critical("{}", peers.error().to_string());
    return 1;
  }
  spdlog::info("node {} serves {} {}", options.node, (options.state_dir / "agent.sock").string(), options.listen);
  int number = 0;
  ::sigwait(&signals, &number);
  spdlog::info("stopping; pods run on");
  (*agent)->events().stop();
  if (*gateway) (*gateway)->stop();
  if (*peers) (*peers)->stop();
  (*server)->stop();
  (*agent)->leave();
  return 0;
}

}  // namespace cacs::agent
